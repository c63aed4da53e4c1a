# room: front
