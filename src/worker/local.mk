# room: worker
