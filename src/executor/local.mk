# room: executor
