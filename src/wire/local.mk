# room: wire
