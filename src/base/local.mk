# room: base
