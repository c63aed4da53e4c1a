# room: gate
