/* SPDX-License-Identifier: MIT
 *
 * paths: file names as they are written in a conf file, relative to that file. Nothing here looks at the file system
 * but for the current directory. Any thread.
 */
#ifndef BULKHEAD_CONFIG_PATHS_H
#define BULKHEAD_CONFIG_PATHS_H

#include "config/region.h"

/* the absolute name of the directory that `file` is in */
const char *paths_directory(struct region *region, const char *file);
/* `name` itself when it is absolute, else below `directory`; "." parts and doubled slashes go, a final slash stays */
const char *paths_absolute(struct region *region, const char *directory, const char *name);

#endif
