dist_man_MANS += man/bulkhead.8
dist_man_MANS += man/bulkhead-handler.3
