# room: cli
