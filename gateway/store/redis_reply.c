/* store/redis_reply.c -- the judge of replies; see the header for why. A NULL returned here ends the connection. */
#include "store/redis_reply.h"

#include <stdint.h>

#define DEPTH_MAX 4 /* of a push message */

/* Stands for each element of a push message: nobody reads them, nobody frees it. */
static redisReply element;

static struct redis_judge *judge_of(const redisReadTask *task) { return task->privdata; }

static void *refuse(struct redis_judge *j, const char *misfit)
{
    j->misfit = misfit;
    return NULL;
}

/* Of a part within parts: 1 is the reply itself. */
static int depth_of(const redisReadTask *task)
{
    int depth = 1;
    while ((task = task->parent)) depth++;
    return depth;
}

/* The reply object, cleared, if a reply of this type fits the oldest question. */
static struct redis_reply *admit(const redisReadTask *task, int type)
{
    struct redis_judge *j = judge_of(task);
    const redisCallback *question = j->questions->head;
    if (!question || j->outstanding == 0) return refuse(j, "a reply without a question");
    bool fits = type == REDIS_REPLY_ERROR;
    switch (question_unpack(question->privdata).expect) {
    case EXPECT_STATUS:
    case EXPECT_OK: fits |= type == REDIS_REPLY_STATUS; break;
    case EXPECT_VALUE: fits |= type == REDIS_REPLY_STRING || type == REDIS_REPLY_NIL; break;
    case EXPECT_PREFIX: fits |= type == REDIS_REPLY_STRING; break;
    case EXPECT_NUMBER: fits |= type == REDIS_REPLY_INTEGER; break;
    case EXPECT_LEASE: fits |= type == REDIS_REPLY_STRING || type == REDIS_REPLY_INTEGER; break;
    case EXPECT_VALUES: fits |= type == REDIS_REPLY_ARRAY; break;
    case EXPECT_ANY:
    case EXPECT_ROLE: fits |= redis_node_type(type); break;
    case EXPECT_MAP: fits |= type == REDIS_REPLY_MAP; break;
    }
    if (!fits) return refuse(j, "a reply of the wrong type");
    j->tells = false;
    j->reply = (struct redis_reply){.head.type = type, .asked = question_unpack(question->privdata).expect};
    return &j->reply;
}

static struct redis_question question_of(const redisReadTask *task)
{
    return question_unpack(judge_of(task)->questions->head->privdata);
}

/* What stands inside a push message or a map is skipped; inside other replies are only values. */
static void *skip(const redisReadTask *task)
{
    struct redis_judge *j = judge_of(task);
    int type = j->reply.head.type;
    bool nobody_reads = type == REDIS_REPLY_MAP || (type == REDIS_REPLY_PUSH && !j->tells);
    return nobody_reads ? &element : refuse(j, "a value of the wrong type");
}

/* -- push messages: >2 "invalidate", then an array of keys, or null */

/* Where the keys stand, or the null. */
static bool is_place_of_keys(const redisReadTask *task)
{
    return task->parent && !task->parent->parent && task->idx == 1;
}

static void tell(struct redis_judge *j, struct slice key) { j->pushes.changed(j->pushes.arg, key); }

static void *add_to_push(const redisReadTask *task, struct slice text)
{
    struct redis_judge *j = judge_of(task);
    bool is_kind = !task->parent->parent && task->idx == 0;
    if (is_kind) j->tells = j->pushes.changed && slice_eq(text, SLICE("invalidate"));
    else if (j->tells && is_place_of_keys(task->parent)) tell(j, text);
    else return skip(task);
    return &element;
}

/* A new reference, or NULL: too long. */
static struct blob *copy_value(struct redis_judge *j, struct slice text)
{
    if (text.n <= j->max_value && text.n <= INT32_MAX) return blob_copy(text);
    j->reply.too_long = true;
    return NULL;
}

static void *add_value(const redisReadTask *task, struct slice text)
{
    struct redis_judge *j = judge_of(task);
    struct redis_reply *reply = &j->reply;
    if (reply->head.type == REDIS_REPLY_PUSH) return add_to_push(task, text);
    if (reply->head.type == REDIS_REPLY_MAP || task->type != REDIS_REPLY_STRING) return skip(task);
    struct blob *value = reply->too_much ? NULL : copy_value(j, text);
    if (!value) return &element;
    reply->values[task->idx] = value;
    reply->values_bytes += value->n;
    reply->too_much = reply->values_bytes > REDIS_MANY_BYTES;
    return &element;
}

/* "WRONGTYPE Operation against..." -> "WRONGTYPE"; only letters, so that it may stand in a log. */
static void first_word(const char *text, size_t n, char *out, size_t out_n)
{
    size_t i = 0;
    while (i < n && i + 1 < out_n && text[i] >= 'A' && text[i] <= 'Z') {
        out[i] = text[i];
        i++;
    }
    out[i] = '\0';
}

/* What an error says: its first word, and of one that names another server which. */
static void read_error(struct redis_judge *j, struct slice text)
{
    struct redis_reply *reply = &j->reply;
    first_word(text.p, text.n, reply->error, sizeof reply->error);
    struct slice rest = text, word = slice_cut(&rest, ' ');
    bool names_server = slice_eq(word, SLICE("MOVED")) || slice_eq(word, SLICE("ASK"));
    if (!names_server || !rest.p || rest.n >= sizeof j->where) return;
    memcpy(j->where, rest.p, rest.n);
    j->where[rest.n] = '\0';
    reply->where = j->where;
}

/* Is it part of a reply that may be any? */
static bool is_any(const redisReadTask *task)
{
    const struct redis_judge *j = judge_of(task);
    const redisReadTask *root = task;
    while (root->parent) root = root->parent;
    if (root->type == REDIS_REPLY_PUSH || !j->questions->head) return false;
    enum redis_expect expect = question_of(task).expect;
    return expect == EXPECT_ANY || expect == EXPECT_ROLE;
}

/* One part more. Of a reply that is too long the rest is read and dropped. */
static void *add_node(const redisReadTask *task, int type, int64_t number, const char *bytes)
{
    struct redis_judge *j = judge_of(task);
    struct redis_reply *reply = &j->reply;
    if (!task->parent && !admit(task, type)) return NULL;
    if (!task->parent) buffer_init(&reply->nodes, j->max_value);
    if (!task->parent && type == REDIS_REPLY_ERROR)
        first_word(bytes, (size_t)number, reply->error, sizeof reply->error);
    if (!redis_node_type(type)) return refuse(j, "a reply of the wrong type");
    if (type == REDIS_REPLY_ARRAY && depth_of(task) > REDIS_NODE_DEPTH_MAX) return refuse(j, "a reply too deep");
    if (!reply->too_long && !redis_node_put(&reply->nodes, type, number, bytes)) {
        reply->too_long = true;
        buffer_deinit(&reply->nodes);
    }
    return task->parent ? (void *)&element : reply;
}

static void *create_string(const redisReadTask *task, char *text, size_t n)
{
    /* hiredis has both bytes behind a bulk string, and does not look at them. */
    bool bulk = task->type == REDIS_REPLY_STRING || task->type == REDIS_REPLY_VERB;
    if (bulk && memcmp(text + n, "\r\n", 2) != 0) return refuse(judge_of(task), "a string longer than it said");
    if (is_any(task)) return add_node(task, task->type, (int64_t)n, text);
    if (task->parent) return add_value(task, slice_from(text, n));
    struct redis_reply *reply = admit(task, task->type);
    if (!reply) return NULL;
    struct redis_judge *j = judge_of(task);
    if (task->type == REDIS_REPLY_ERROR) {
        read_error(j, slice_from(text, n));
        return reply;
    }
    switch (question_of(task).expect) {
    case EXPECT_OK:
        if (!slice_eq(slice_from(text, n), SLICE("OK"))) return refuse(j, "a status that is not OK");
        break;
    case EXPECT_LEASE:
    case EXPECT_VALUE: reply->value = copy_value(j, slice_from(text, n)); break;
    case EXPECT_PREFIX:
        if (n > sizeof reply->prefix) return refuse(j, "a longer string than was asked for");
        memcpy(reply->prefix, text, n);
        reply->prefix_n = (unsigned)n;
        break;
    case EXPECT_STATUS:
    case EXPECT_NUMBER:
    case EXPECT_VALUES:
    case EXPECT_ANY:
    case EXPECT_ROLE:
    case EXPECT_MAP: break;
    }
    return reply;
}

static void *create_values(const redisReadTask *task, size_t n)
{
    struct redis_reply *reply = admit(task, REDIS_REPLY_ARRAY);
    if (!reply) return NULL;
    struct redis_judge *j = judge_of(task);
    if (n != question_of(task).values) return refuse(j, "more values than were asked for, or fewer");
    memset(j->values, 0, n * sizeof *j->values);
    reply->values = j->values;
    reply->values_n = (unsigned)n;
    return reply;
}

static void *create_array(const redisReadTask *task, size_t n)
{
    if (is_any(task)) return add_node(task, task->type, (int64_t)n, NULL);
    if (judge_of(task)->tells && is_place_of_keys(task) && task->type == REDIS_REPLY_ARRAY) return &element;
    if (n > REPLY_ELEMENTS_MAX) return refuse(judge_of(task), "a reply of too many elements");
    if (depth_of(task) > DEPTH_MAX) return refuse(judge_of(task), "a reply too deep");
    if (task->parent) return skip(task);
    if (task->type == REDIS_REPLY_ARRAY) return create_values(task, n);
    if (task->type == REDIS_REPLY_MAP) return admit(task, REDIS_REPLY_MAP);
    if (task->type != REDIS_REPLY_PUSH) return refuse(judge_of(task), "a reply of the wrong type");
    judge_of(task)->tells = false;
    judge_of(task)->reply = (struct redis_reply){.head.type = REDIS_REPLY_PUSH};
    return &judge_of(task)->reply;
}

static void *create_integer(const redisReadTask *task, long long v)
{
    if (is_any(task)) return add_node(task, REDIS_REPLY_INTEGER, v, NULL);
    if (task->parent) return skip(task);
    struct redis_reply *reply = admit(task, REDIS_REPLY_INTEGER);
    if (reply) reply->head.integer = v;
    return reply;
}

static void *create_nil(const redisReadTask *task)
{
    if (is_any(task))
        return redis_node_type(task->type) ? add_node(task, REDIS_REPLY_NIL, 0, NULL)
                                           : refuse(judge_of(task), "a reply of the wrong type");
    bool is_value = task->type == REDIS_REPLY_NIL || task->type == REDIS_REPLY_STRING;
    if (judge_of(task)->tells && is_place_of_keys(task)) {
        tell(judge_of(task), (struct slice){NULL, 0});
        return &element;
    }
    if (task->parent) return is_value && !judge_of(task)->tells ? &element : skip(task); /* its place is NULL already */
    if (is_value || task->type == REDIS_REPLY_ARRAY) return admit(task, REDIS_REPLY_NIL);
    return refuse(judge_of(task), "a reply of the wrong type");
}

static void *create_double(const redisReadTask *task, double v, char *text, size_t n)
{
    return task->parent && !is_any(task) ? skip(task) : refuse(judge_of(task), "a reply of the wrong type");
}

static void *create_bool(const redisReadTask *task, int v)
{
    return task->parent && !is_any(task) ? skip(task) : refuse(judge_of(task), "a reply of the wrong type");
}

static void free_object(void *object)
{
    struct redis_reply *reply = object;
    blob_unref(reply->value);
    reply->value = NULL;
    for (unsigned i = 0; i < reply->values_n; i++) blob_unref(reply->values[i]);
    reply->values_n = 0;
    buffer_deinit(&reply->nodes);
}

void redis_judge_attach(struct redis_judge *j, redisAsyncContext *ac, size_t max_value, struct redis_pushes pushes)
{
    static redisReplyObjectFunctions functions = {
        .createString = create_string,
        .createArray = create_array,
        .createInteger = create_integer,
        .createDouble = create_double,
        .createNil = create_nil,
        .createBool = create_bool,
        .freeObject = free_object,
    };
    *j = (struct redis_judge){.questions = &ac->replies, .max_value = max_value, .pushes = pushes};
    ac->c.reader->fn = &functions;
    ac->c.reader->privdata = j;
    ac->c.reader->maxelements = REDIS_NODE_ELEMENTS_MAX; /* create_array knows better */
}
