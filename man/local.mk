dist_man_MANS += man/bulkhead.8
dist_man_MANS += man/bulkhead-handler.3
dist_man_MANS += man/bulkhead.conf.5
EXTRA_DIST += man/bulkhead.conf.5.in
