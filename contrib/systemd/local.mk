# units and what belongs to them; --with-systemdsystemunitdir=no leaves all of it out
SYSTEMD_FILES = contrib/systemd/bulkhead.service.in contrib/systemd/bulkhead.socket contrib/systemd/sysusers.conf.in \
  contrib/systemd/tmpfiles.conf.in contrib/systemd/logrotate.in
EXTRA_DIST += $(SYSTEMD_FILES)

SYSTEMD_MADE = contrib/systemd/bulkhead.service contrib/systemd/bulkhead@.service contrib/systemd/sysusers/bulkhead.conf \
  contrib/systemd/tmpfiles/bulkhead.conf contrib/systemd/logrotate/bulkhead
CLEANFILES += $(SYSTEMD_MADE)

if SYSTEMD_UNITS
systemdsystemunit_DATA = contrib/systemd/bulkhead.service contrib/systemd/bulkhead@.service contrib/systemd/bulkhead.socket
sysusersdir = $(prefix)/lib/sysusers.d
sysusers_DATA = contrib/systemd/sysusers/bulkhead.conf
tmpfilesdir = $(prefix)/lib/tmpfiles.d
tmpfiles_DATA = contrib/systemd/tmpfiles/bulkhead.conf
logrotatedir = $(sysconfdir)/logrotate.d
logrotate_DATA = contrib/systemd/logrotate/bulkhead
endif

SYSTEMD_EDIT = $(MKDIR_P) $(@D) && $(SED) -e 's|@bindir[@]|$(bindir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g'

contrib/systemd/bulkhead.service: contrib/systemd/bulkhead.service.in Makefile
	$(AM_V_GEN)$(SYSTEMD_EDIT) -e 's|@CONF[@]|$(sysconfdir)/bulkhead/bulkhead.conf|g' -e 's|@UNIT[@]|bulkhead.service|g' \
	  -e 's|@OF_INSTANCE[@]||g' -e 's|@DIRECTORY[@]|bulkhead|g' $(srcdir)/contrib/systemd/bulkhead.service.in >$@
contrib/systemd/bulkhead@.service: contrib/systemd/bulkhead.service.in Makefile
	$(AM_V_GEN)$(SYSTEMD_EDIT) -e 's|@CONF[@]|$(sysconfdir)/bulkhead/%i.conf|g' -e 's|@UNIT[@]|bulkhead@.service|g' \
	  -e 's|@OF_INSTANCE[@]| (%i)|g' -e 's|@DIRECTORY[@]|bulkhead-%i|g' $(srcdir)/contrib/systemd/bulkhead.service.in >$@
contrib/systemd/sysusers/bulkhead.conf: contrib/systemd/sysusers.conf.in Makefile
	$(AM_V_GEN)$(SYSTEMD_EDIT) $(srcdir)/contrib/systemd/sysusers.conf.in >$@
contrib/systemd/tmpfiles/bulkhead.conf: contrib/systemd/tmpfiles.conf.in Makefile
	$(AM_V_GEN)$(SYSTEMD_EDIT) $(srcdir)/contrib/systemd/tmpfiles.conf.in >$@
contrib/systemd/logrotate/bulkhead: contrib/systemd/logrotate.in Makefile
	$(AM_V_GEN)$(SYSTEMD_EDIT) $(srcdir)/contrib/systemd/logrotate.in >$@
