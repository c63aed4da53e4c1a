# room: config
