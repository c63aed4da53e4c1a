# room: upstream
