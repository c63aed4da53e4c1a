# room: supervisor
