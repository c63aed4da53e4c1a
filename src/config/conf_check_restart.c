/* SPDX-License-Identifier: MIT
 *
 * conf_check_restart: finds what a running bulkhead cannot take over: keys of the reload class "restart" whose value is
 * another one. Where the key is not in the file any more, the object that it was in is the place.
 */
#include "config.h"

#include "config/conf_check.h"
#include "config/conf_dump.h"
#include "config/keys.h"
#include "config/node.h"
#include "config/problems.h"

static bool is_same(const struct conf *const confs[2], const struct key_object *type, const struct key *key,
                    const char *const objects[2])
{
    json_t *before = conf_dump_key(confs[0], type, key, objects[0]);
    json_t *now = conf_dump_key(confs[1], type, key, objects[1]);
    bool same = before == NULL || now == NULL ? before == now : json_equal(before, now);
    json_decref(before);
    json_decref(now);
    return same;
}

static void complain(const struct check *c, struct node *object, const struct key *key)
{
    struct node *member = object->kind == NODE_OBJECT ? node_member(object, key->name) : NULL;
    if (member != NULL)
        problems_error(c->problems, member, "cannot change while bulkhead runs; restart it, or leave this as it was");
    else
        problems_error(c->problems, object, "%s cannot change while bulkhead runs; restart it, or say what it was",
                       key->name);
}

static void check_object(const struct check *c, const struct conf *const confs[2], const struct key_object *type,
                         const char *const objects[2], struct node *node)
{
    for (size_t i = 0; i < type->nkeys; i++) {
        const struct key *key = &type->keys[i];
        const char *const members[2] = {objects[0] + key->offset, objects[1] + key->offset};
        struct node *member = node->kind == NODE_OBJECT ? node_member(node, key->name) : NULL;
        if (key->type == KEY_OBJECT)
            check_object(c, confs, key->object, members, member != NULL ? member : node);
        else if (key->reload == KEY_RESTART && !is_same(confs, type, key, objects))
            complain(c, node, key);
    }
}

void conf_check_restart(const struct check *c, const struct conf *running)
{
    const struct conf *const confs[2] = {running, c->conf};
    const char *const objects[2] = {(const char *)running, (const char *)c->conf};
    check_object(c, confs, &keys_root, objects, c->root);
}
