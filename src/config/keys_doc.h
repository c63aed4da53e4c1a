/* SPDX-License-Identifier: MIT
 *
 * keys_doc: documents made from the keyword table: the JSON schema, the key reference of the man page and the commented
 * sample. Only the program bulkhead-keys uses it, when those files are brought up to date or tested. Pure.
 */
#ifndef BULKHEAD_CONFIG_KEYS_DOC_H
#define BULKHEAD_CONFIG_KEYS_DOC_H

struct buf;
struct key;

void keys_doc_schema(struct buf *out);
/* in the mdoc(7) macros */
void keys_doc_man(struct buf *out);
void keys_doc_sample(struct buf *out);

/* "number from 1 to 1024; default 16; reload: live": a row but for its meaning */
void keys_doc_facts(const struct key *key, struct buf *out);

#endif
