/* SPDX-License-Identifier: MIT
 *
 * files: a `files` route: serves what lies below a directory: GET and HEAD, conditional requests, one range, index
 * pages. Opening, fstat and reading happen on the loop in small pieces, and a long file gives other requests their
 * turn after each burst; what the disk makes the loop wait for is the price of `files`. Loop thread.
 *
 * Never served (404): what is not a regular file or directory, what leads out of the root, through "..", a symbolic
 * link that leaves it, or a mount's magic link, and every name that begins with a dot. No directory listings.
 */
#ifndef BULKHEAD_FRONT_FILES_H
#define BULKHEAD_FRONT_FILES_H

struct arrival;

void files_serve(struct arrival *a);

#endif
