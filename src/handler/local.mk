# room: handler
