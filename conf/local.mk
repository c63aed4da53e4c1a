# what is read (the sample shows every key), and what editors use
dist_doc_DATA = README conf/bulkhead.conf
dist_pkgdata_DATA = conf/bulkhead.schema.json
EXTRA_DIST += conf/demo.conf conf/demo
