# room: diag
