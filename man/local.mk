dist_man_MANS += man/bulkhead.8
