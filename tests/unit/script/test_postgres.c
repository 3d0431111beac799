/* `postgres` against a server of the test's own. */
#include "cluster.h"

#include "script/host_internal.h"

static struct cluster cluster;
static char url[160]; /* over the socket, as the owner */

static int start_cluster(void **state)
{
    if (!cluster_start(&cluster)) {
        print_message("no PostgreSQL here\n");
        return 0;
    }
    snprintf(url, sizeof url, "postgresql://owner@/postgres?host=%s&port=%d", cluster.folder, cluster.port);
    return 0;
}

static int remove_cluster(void **state) { return cluster_remove(&cluster); }

/* The handler's body after `local db = postgres(url)`. */
static struct outcome run(struct world *w, const char *body)
{
    return world_runf(w, 10000, "local db = postgres('%s') %s", url, body);
}

static struct world *open_world(void)
{
    if (!cluster.pid) skip();
    return world_open();
}

#define ERROR_OF(call) "local ok, e = pcall(function() local r = " call " return r end) return ok and 'no error' or e"

/* --- values ------------------------------------------------------------------------------------------------------- */

static void test_values(void **state)
{
    static const char *const values[][2] = {
        {"true", "boolean true"},
        {"false", "boolean false"},
        {"NULL::int", "userdata null"},
        {"1::int2", "number 1"},
        {"(-2147483648)::int4", "number -2147483648"},
        {"9007199254740991::int8", "number 9.007199254741e+15"},
        {"9007199254740993::int8", "cdata 9007199254740993LL"},
        {"(-9223372036854775808)::int8", "cdata -9223372036854775808LL"},
        {"7::oid", "number 7"},
        {"0.1::float4", "number 0.1"},
        {"1e300::float8", "number 1e+300"},
        {"'NaN'::float8", "number nan"},
        {"'-Infinity'::float8", "number -inf"},
        {"0.1::numeric", "number 0.1"},
        {"1.50::numeric(10,2)", "number 1.5"},
        {"(-12345678.9012345)::numeric", "number -12345678.901235"}, /* 15 digits, %.14g */
        {"1234567890.123456::numeric", "userdata 1234567890.123456"},
        {"0.1234567890123456789::numeric", "userdata 0.1234567890123456789"},
        {"123456789012345678901234567890::numeric", "userdata 123456789012345678901234567890"},
        {"0.00::numeric", "number 0"},
        {"'NaN'::numeric", "number nan"},
        {"'Zo\\195\\171'::text", "string Zo\xc3\xab"},
        {"''::text", "string "},
        {"'a'::varchar(3)", "string a"},
        {"'00ff'::bytea", "string 00ff"},
        {"'2024-02-29'::date", "string 2024-02-29"},
        {"'9c4d7b1e-1f8e-4b53-8bb5-0d4e7f6a1c2b'::uuid", "string 9c4d7b1e-1f8e-4b53-8bb5-0d4e7f6a1c2b"},
        {"'10.0.0.0/8'::cidr", "string 10.0.0.0/8"},
    };
    struct world *w = open_world();
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char body[512];
        snprintf(body, sizeof body,
                 "local v = db:query(\"SELECT %s AS v\")[1].v "
                 "return '<' .. type(v) .. ' ' .. (v == null and 'null' or tostring(v):gsub('^%%-nan', 'nan')) .. '>'",
                 values[i][0]);
        char wanted[128];
        snprintf(wanted, sizeof wanted, "<%s>", values[i][1]);
        assert_ends(run(w, body), OK, wanted);
    }
    assert_ends(
        run(w, "local v = db:query([[SELECT '\\x00ff27'::bytea AS v]])[1].v return #v .. v:byte(1) .. v:byte(2)"), OK,
        "30255");
    world_close(w);
}

static void test_json_and_arrays(void **state)
{
    static const char *const values[][2] = {
        {"'{\"a\": [1, null, {\"b\": []}]}'::jsonb", "{\"a\":[1,null,{\"b\":[]}]}"},
        {"' [ 1.0 , true ] '::json", "[1,true]"},
        {"'null'::jsonb", "null"},
        {"'[]'::json", "[]"},
        {"'{1,NULL,-3}'::int[]", "[1,null,-3]"},
        {"'{}'::int[]", "[]"},
        {"'{{1,2},{3,4}}'::int8[]", "[[1,2],[3,4]]"},
        {"'[0:1]={7,8}'::int[]", "[7,8]"},
        {"ARRAY['a b', 'c\"d', 'e\\f', 'NULL', NULL, '', '{,}']",
         "[\"a b\",\"c\\\"d\",\"e\\\\f\",\"NULL\",null,\"\",\"{,}\"]"},
        {"'{t,f,NULL}'::bool[]", "[true,false,null]"},
        {"'{0.5,1e10}'::float8[]", "[0.5,10000000000]"},
        {"ARRAY['{\"k\": 1}'::jsonb, '2']", "[{\"k\":1},2]"},
        {"ARRAY['\\x6162'::bytea]", "[\"ab\"]"},
    };
    struct world *w = open_world();
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char body[512];
        snprintf(body, sizeof body, "return (require('cjson').encode(db:query([==[SELECT %s AS v]==])[1].v))",
                 values[i][0]);
        struct outcome o = run(w, body);
        assert_int_equal(o.status, OK);
        assert_string_equal(o.text, values[i][1]);
    }
    assert_ends(run(w, "return tostring(db:query([[SELECT '9007199254740993'::jsonb AS v]])[1].v)"), OK,
                "9007199254740993LL");
    assert_ends(run(w, ERROR_OF("db:query([[SELECT (repeat('[', 70) || repeat(']', 70))::json AS v]])")), OK,
                "postgres: a JSON value: ");
    world_close(w);
}

static void test_arguments(void **state)
{
    static const char *const calls[][2] = {
        {"'SELECT $1::int + 1 AS v', 41", "42"},
        {"'SELECT $1::text AS v', 'x'", "x"},
        {"'SELECT $1::bool AS v', true", "true"},
        {"'SELECT $1::float8 AS v', 0.1", "0.1"},
        {"'SELECT $1::float8::text AS v', 0/0", "NaN"},
        {"'SELECT $1::float8::text AS v', -1/0", "-Infinity"},
        {"'SELECT $1::text AS v', 1e15", "1000000000000000"},
        {"'SELECT $1::int8 AS v', db:query('SELECT 9007199254740993 AS v')[1].v", "9007199254740993LL"},
        {"'SELECT $1::numeric AS v', db:query('SELECT 0.12345678901234567890 AS v')[1].v", "0.12345678901234567890"},
        {"'SELECT ($1::int IS NULL)::text || ($2::text IS NULL)::text AS v', nil, null", "truetrue"},
        {"'SELECT length($1::bytea) || encode($1, $2) AS v', 'a\\0\\255', 'hex'", "36100ff"},
        {"[[SELECT $1::jsonb->'a'->>1 AS v]], {a = {1, 'two'}}", "two"},
        {"'SELECT $1::json::text AS v', array()", "[]"},
        {"'SELECT count(*) AS v FROM generate_series(1, 10) n WHERE n = ANY($1)', {2, 3, 77}", "2"},
        {"'SELECT array_to_string($1::text[], $2, $3) AS v', {'a\"b', 'c\\\\d', null, 'NULL'}, '|', '?'",
         "a\"b|c\\d|?|NULL"},
        {"'SELECT $1::int[]::text AS v', {{1, 2}, {3, 4}}", "{{1,2},{3,4}}"},
        {"'SELECT cardinality($1::int[]) AS v', array()", "0"},
        {"'SELECT $1 || $2 AS v', \"'; DROP TABLE t; --\", ''", "'; DROP TABLE t; --"},
        {"'SELECT $1::date + 1 AS v', '2024-02-28'", "2024-02-29"},
    };
    struct world *w = open_world();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char body[512];
        snprintf(body, sizeof body, "return tostring(db:query(%s)[1].v)", calls[i][0]);
        struct outcome o = run(w, body);
        if (o.status != OK) fail_msg("%s: %s", calls[i][0], o.text);
        assert_string_equal(o.text, calls[i][1]);
    }
    world_close(w);
}

static void test_rows(void **state)
{
    struct world *w = open_world();
    assert_ends(run(w, "local r = db:query('DROP TABLE IF EXISTS rows') "
                       "r = db:query('CREATE TABLE rows (id int PRIMARY KEY, name text)') return r.changes .. #r"),
                OK, "00");
    assert_ends(run(w, "return db:query([[INSERT INTO rows VALUES (1, 'a'), (2, 'b'), (3, NULL)]]).changes"), OK, "3");
    assert_ends(run(w, "return require('cjson').encode(db:query('SELECT id FROM rows ORDER BY id'))"), OK,
                "[{\"id\":1},{\"id\":2},{\"id\":3}]");
    assert_ends(run(w, "return require('cjson').encode(db:exec('SELECT id FROM rows WHERE id = 9'))"), OK, "[]");
    assert_ends(run(w, "return db:query('UPDATE rows SET name = $1 WHERE id > 1 RETURNING id', 'z')[2].id"), OK, "3");
    assert_ends(run(w, "return tostring(db:query('SELECT 1 AS a, 2 AS a')[1].a)"), OK, "2");
    assert_ends(run(w, "return #db:query('SELECT generate_series(1, 10000)')"), OK, "10000");
    assert_ends(run(w, "return #db:query('SELECT')"), OK, "1");
    world_close(w);
}

/* --- errors ------------------------------------------------------------------------------------------------------- */

static void test_errors(void **state)
{
    static const char *const calls[][2] = {
        {"db:query('SELEC')", "postgres: syntax error at or near \"SELEC\" (SQLSTATE 42601)"},
        {"db:query('SELECT * FROM nowhere')", "postgres: relation \"nowhere\" does not exist (SQLSTATE 42P01)"},
        {"db:query('SELECT 1; SELECT 2')", "postgres: cannot insert multiple commands into a prepared statement"},
        {"db:query('')", "postgres: no statement"},
        {"db:query('-- nothing')", "postgres: no statement"},
        {"db:query('SELECT $1::int')", "postgres: 0 arguments for 1 parameters"},
        {"db:query('SELECT 1', 5)", "postgres: 1 arguments for 0 parameters"},
        {"db:query('SELECT $1::int', 'x')", "postgres: invalid input syntax for type integer: \"x\" (SQLSTATE 22P02)"},
        {"db:query('SELECT 1 / $1::int', 0)", "postgres: division by zero (SQLSTATE 22012)"},
        {"db:query('SELECT $1::text', 'a\\0b')", "postgres: NUL byte in argument 1"},
        {"db:query('SELECT $1::text', '\\255')",
         "postgres: invalid byte sequence for encoding \"UTF8\": 0xff (SQLSTATE 22021)"},
        {"db:query('SELECT $1', function() end)", "postgres: argument 1: cannot bind a function"},
        {"db:query('SELECT $1', {a = {function() end}})", "postgres: argument 1: .a[1]: a function is no JSON value"},
        {"db:query('SELECT $1', db)", "postgres: argument 1: a userdata is no JSON value"},
        {"(function() local s, t = ('x'):rep(2^20), {} for i = 1, 16 do t[i] = s end return db:query('', unpack(t)) "
         "end)()",
         "postgres: arguments of more than 16777216 bytes"},
        {"db:query()", "postgres: the statement must be a string, got no value"},
        {"db:query('SELECT \\0')", "postgres: NUL byte in the statement"},
        {"db:query(('x'):rep(2^20 + 1))", "postgres: a statement of more than 1048576 bytes"},
        {"db.query('SELECT 1')", "postgres: call it as db:query(sql, ...)"},
        {"db.query(null, 'SELECT 1')", "postgres: call it as db:query(sql, ...)"},
        {"db:query('BEGIN')", "postgres: a transaction cannot span queries"},
        {"db:query('COPY (SELECT 1) TO STDOUT')", "postgres: COPY is not for handlers"},
        {"db:query('COPY pg_class FROM STDIN')", "postgres: COPY is not for handlers"},
        {"db:query('SELECT pg_terminate_backend(pg_backend_pid())')",
         "postgres: terminating connection due to administrator command (SQLSTATE 57P01)"},
        {"db:query('SELECT generate_series(1, 10001)')", "postgres: more than 10000 rows"},
        {"db:query([[SELECT repeat('x', 1000000) FROM generate_series(1, 100)]])",
         "postgres: rows of more than 16777216 bytes"},
        {"db:query([[SELECT repeat('x', 100000000)]])", "postgres: rows of more than 16777216 bytes"},
        {"db:query([[SELECT 1 / (100 - n) FROM generate_series(1, 200) n]])",
         "postgres: division by zero (SQLSTATE 22012)"},
    };
    struct world *w = open_world();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char body[1024];
        snprintf(body, sizeof body, ERROR_OF("%s"), calls[i][0]);
        assert_ends(run(w, body), OK, calls[i][1]);
        assert_ends(run(w, "return db:query('SELECT 40 + $1::int AS v', 2)[1].v"), OK, "42"); /* it goes on */
    }
    assert_ends(run(w, "db:query('SELECT * FROM nowhere')"), LOADER_ERROR, "test.lua:1: postgres: relation");
    assert_ends(run(w, "return getmetatable(db)"), OK, "false");
    world_close(w);
}

static void test_urls(void **state)
{
    static const char *const calls[][2] = {
        {"postgres()", "postgres: the URL must be a string, got nil"},
        {"postgres ''", "postgres: not a URL such as postgresql://user:password@host:5432/database"},
        {"postgres 'host=x password=secret'", "postgres: not a URL such as"},
        {"postgres 'mysql://u:secret@h/d'", "postgres: not a URL such as"},
        {"postgres 'postgres://u:sec%zzret@h/d'", "postgres: not a URL such as"},
        {"postgres 'postgres://u:secret@h/d?what=1'", "postgres: not a URL such as"},
        {"postgres 'postgres://u:secret@h\\0/d'", "postgres: not a URL such as"},
        {"postgres 'postgres://u:secret@a,b/d'", "postgres: one host only"},
        {"postgres 'postgres:///d'", "postgres: the URL names no host"},
        {"postgres(('postgres://'):rep(1000))", "postgres: the URL is too long"},
        {"postgres('postgres://h/d', 5)", "postgres: the options must be a table, got number"},
        {"postgres('postgres://h/d', {timout = 1})",
         "postgres: unknown option `timout` (there are: timeout, connections)"},
        {"postgres('postgres://h/d', {connections = 0})", "postgres: connections must be a whole number from 1 to 64"},
        {"postgres('postgres://h/d', {connections = 1.5})",
         "postgres: connections must be a whole number from 1 to 64"},
        {"postgres('postgres://h/d', {timeout = 'soon'})", "postgres: timeout: expected a duration"},
        {"postgres('postgres://u:secret@127.0.0.1:1/d'):query 'SELECT 1'",
         "127.0.0.1\", port 1 failed: Connection refused"},
        {"postgres('postgres://u:secret@localhost:1/d'):query 'SELECT 1'", "port 1 failed: Connection refused"},
        {"postgres('postgres://u:secret@host.invalid/d'):query 'SELECT 1'", "postgres: host not found"},
        {"postgres('postgres://u:secret@/d?host=/nonexistent'):query 'SELECT 1'", "No such file or directory"},
        {"postgres('postgres://u:secret@x/d?hostaddr=nonsense'):query 'SELECT 1'",
         "postgres: could not parse network address"},
    };
    struct world *w = open_world();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char body[1024];
        snprintf(body, sizeof body, ERROR_OF("%s"), calls[i][0]);
        struct outcome o = world_run(w, 10000, body);
        assert_ends(o, OK, calls[i][1]);
        assert_null(strstr(o.text, "secret"));
    }
    world_close(w);
}

static void test_passwords(void **state)
{
    struct world *w = open_world();
    static const char query[] =
        ERROR_OF("postgres('postgres://%s@localhost:%d/postgres'):query('SELECT current_user AS u')[1].u");
    struct outcome o;
    o = world_runf(w, 10000,
                   "return postgres('postgres://guest:p%%25w%%20d%%2F%%3F@localhost:%d/postgres'):query('SELECT "
                   "current_user AS u')[1].u",
                   cluster.port);
    assert_ends(o, OK, "guest");
    o = world_runf(w, 10000, query, "guest:topsecret", cluster.port);
    assert_ends(o, OK, "password authentication failed for user \"guest\"");
    assert_null(strstr(o.text, "topsecret"));
    o = world_runf(w, 10000, query, "guest", cluster.port);
    assert_ends(o, OK, "no password supplied");
    o = world_runf(w, 10000, query, "nobody:topsecret", cluster.port);
    assert_ends(o, OK, "password authentication failed for user \"nobody\"");
    assert_null(strstr(o.text, "topsecret"));
    world_close(w);
}

static void test_load_time(void **state)
{
    struct world *w = open_world();
    char text[512], findings[1024];
    struct outcome o;
    snprintf(text, sizeof text,
             "local db = postgres '%s'\nmodel \"T\" { id = key(), from_miss = function() return db:query('SELECT 7 AS "
             "v')[1].v end }",
             url);
    struct vm *vm = world_load(w, text, findings, sizeof findings);
    assert_non_null(vm);
    world_start(vm, 5000, no_arguments, &o);
    world_wait(w, &o);
    assert_ends(o, OK, "7");
    vm_retire(vm);

    snprintf(text, sizeof text, "\npostgres '%s':query 'SELECT 1'\nmodel \"T\" { id = key() }", url);
    assert_null(world_load(w, text, findings, sizeof findings));
    assert_non_null(strstr(findings, "test.lua:2: postgres: cannot wait here: a schema file does no I/O"));
    assert_null(world_load(w, "\n\npostgres 'x'", findings, sizeof findings));
    assert_non_null(strstr(findings, "test.lua:3: postgres: not a URL"));
    world_close(w);
}

/* --- statements kept ---------------------------------------------------------------------------------------------- */

static void test_statements(void **state)
{
    struct world *w = open_world();
    assert_ends(world_runf(w, 10000,
                           "local db = postgres('%s', {connections = 1}) "
                           "local n = 0 for i = 1, 100 do n = n + db:query('SELECT ' .. (i %% 50) .. '::int + $1::int "
                           "AS v', 1)[1].v end "
                           "local kept = db:query('SELECT count(*) AS n FROM pg_prepared_statements')[1].n "
                           "local long = '/* ' .. ('x'):rep(20000) .. ' */ SELECT $1::int AS v' "
                           "n = n + db:query(long, 1)[1].v + db:query(long, 2)[1].v return n .. ' ' .. kept",
                           url),
                OK, "2553 32");
    /* what is kept and no longer fits is prepared again */
    assert_ends(world_runf(w, 10000,
                           "local db = postgres('%s', {connections = 1}) "
                           "db:query('DROP TABLE IF EXISTS changing') db:query('CREATE TABLE changing (a int)') "
                           "db:query('INSERT INTO changing VALUES (1)') "
                           "local before = db:query('SELECT * FROM changing')[1].a "
                           "db:query('ALTER TABLE changing ALTER a TYPE text, ADD b int DEFAULT 5') "
                           "local row = db:query('SELECT * FROM changing')[1] "
                           "db:query('DISCARD ALL') "
                           "row.c = db:query('SELECT * FROM changing')[1].b "
                           "return type(before) .. type(row.a) .. row.b .. row.c",
                           url),
                OK, "numberstring55");
    assert_ends(run(w, "db:query('LISTEN news') db:query([[NOTIFY news, 'x']]) db:query('UNLISTEN *') return 'fine'"),
                OK, "fine");
    assert_ends(run(w, "db:query([[DO $$ BEGIN RAISE NOTICE 'to nobody'; END $$]]) return 'fine'"), OK, "fine");
    world_close(w);
}

/* --- many, losses, ends ------------------------------------------------------------------------------------------- */

static void test_many_at_once(void **state)
{
    enum { N = 100 };
    struct world *w = open_world();
    struct outcome o[N];
    char body[512];
    snprintf(
        body, sizeof body,
        "local db = postgres '%s&application_name=many' local n, most = 0, 0 for i = 1, 5 do " /* others' may be ending still */
        "n = n + db:query('SELECT ' .. i .. ' + $1::int AS v', 1)[1].v "
        "local c = db:query([[SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'many']])[1].n "
        "if c > most then most = c end end return n .. (most <= 8 and ' within' or ' beyond')",
        url);
    struct vm *vm = world_vm(w, body);
    for (int i = 0; i < N; i++) world_start(vm, 60000, no_arguments, &o[i]);
    for (int i = 0; i < N; i++) {
        world_wait(w, &o[i]);
        assert_ends(o[i], OK, "20 within");
    }
    vm_retire(vm);
    world_close(w);
}

/* No query of ours is on the server any more. */
#define UNTIL_ALONE                                                                                                    \
    "while db:query([[SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(1000)%%' "               \
    "AND state = 'active' AND pid <> pg_backend_pid()]])[1].n > 0 do sleep(0.02) end return 'alone'"

static void test_deadline_stops_a_query(void **state)
{
    struct world *w = open_world();
    struct outcome o =
        world_runf(w, 300, "pcall(function() postgres('%s'):query('SELECT pg_sleep(1000)') end) return 'on'", url);
    assert_int_equal(o.status, LOADER_TIMEOUT);
    assert_ends(world_runf(w, 10000, "local db = postgres('%s') " UNTIL_ALONE, url), OK, "alone");

    o = world_runf(
        w, 10000,
        "local db, same = postgres('%s', {timeout = '100ms', connections = 1}), postgres('%s', {connections = 1}) "
        "local ok, e = pcall(db.query, db, 'SELECT pg_sleep(1000)') return e .. same:query('SELECT 1 AS v')[1].v",
        url, url);
    assert_ends(o, OK, "postgres: timeout1");
    assert_ends(world_runf(w, 10000, "local db = postgres('%s') " UNTIL_ALONE, url), OK, "alone");

    struct buffer metrics;
    buffer_init(&metrics, 1 << 20);
    metrics_render(&w->metrics, 1, METRICS_PROMETHEUS, &metrics);
    buffer_char(&metrics, 0);
    assert_non_null(strstr(metrics.p, "perigee_upstream_seconds_count{kind=\"postgres\",outcome=\"timeout\"} 1"));
    assert_non_null(strstr(metrics.p, "perigee_upstream_seconds_count{kind=\"postgres\",outcome=\"cancelled\"} 1"));
    assert_non_null(strstr(metrics.p, "kind=\"postgres\",outcome=\"ok\""));
    buffer_deinit(&metrics);
    world_close(w);
}

static void test_server_lost(void **state)
{
    struct world *w = open_world();
    struct outcome o[3], after;
    char body[512];
    snprintf(body, sizeof body, ERROR_OF("postgres('%s'):query('SELECT pg_sleep(1000)')"), url);
    struct vm *vm = world_vm(w, body);
    for (int i = 0; i < 3; i++) world_start(vm, 60000, no_arguments, &o[i]);
    assert_ends(run(w,
                    "while db:query([[SELECT count(*) AS n FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(1000)' "
                    "AND state = 'active']])[1].n < 3 do sleep(0.01) end return 'asleep'"),
                OK, "asleep");
    cluster_end(&cluster); /* with three queries under way, and one connection idle */
    for (int i = 0; i < 3; i++) {
        world_wait(w, &o[i]);
        assert_ends(o[i], OK, "postgres: ");
    }
    vm_retire(vm);
    after = run(w, ERROR_OF("db:query('SELECT 1 AS v')"));
    assert_ends(after, OK, "postgres: ");
    assert_null(strstr(after.text, "no error"));
    assert_true(cluster_run(&cluster));
    assert_ends(run(w, "for i = 1, 1000 do local ok, r = pcall(db.query, db, 'SELECT 1 AS v') "
                       "if ok then return 'back' end sleep(0.01) end"),
                OK, "back");
    world_close(w);
}

/* A connection that ended while it was idle is not used again. */
static void test_idle_connection_lost(void **state)
{
    struct world *w = open_world();
    for (int i = 0; i < 5; i++) {
        assert_ends(
            world_runf(
                w, 10000,
                "local a, b = postgres('%s', {connections = 1}), postgres('%s', {connections = 2}) "
                "local pid = a:query('SELECT pg_backend_pid() AS v')[1].v "
                "b:query('SELECT pg_terminate_backend($1)', pid) "
                "while b:query('SELECT count(*) AS n FROM pg_stat_activity WHERE pid = $1', pid)[1].n > 0 do end "
                "return a:query('SELECT pg_backend_pid() AS v')[1].v ~= pid and 'another' or 'the same'",
                url, url),
            OK, "another");
    }
    world_close(w);
}

static void test_too_many_connections(void **state)
{
    enum { N = 60 }; /* the server has 40 */
    struct world *w = open_world();
    struct outcome o[N];
    char body[512];
    snprintf(body, sizeof body, "return postgres('%s', {connections = 64}):query('SELECT 1 AS v, pg_sleep(0.05)')[1].v",
             url);
    struct vm *vm = world_vm(w, body);
    for (int i = 0; i < N; i++) world_start(vm, 60000, no_arguments, &o[i]);
    for (int i = 0; i < N; i++) {
        world_wait(w, &o[i]);
        assert_ends(o[i], OK, "1");
    }
    vm_retire(vm);
    world_close(w);
}

/* A refusal is no reason to wait for the connections that there are, however long they are busy. */
static void test_refused_meanwhile(void **state)
{
    struct world *w = open_world();
    static const char limit[] = "local admin = postgres('%s', {connections = 1}) "
                                "admin:query('ALTER ROLE guest CONNECTION LIMIT %d') return 'set'";
    char guest[160];
    snprintf(guest, sizeof guest, "postgresql://guest@/postgres?host=%s&port=%d", cluster.folder, cluster.port);
    assert_ends(world_runf(w, 10000, limit, url, 1), OK, "set");
    struct outcome asleep, waits;
    char body[512];
    snprintf(body, sizeof body, "postgres('%s'):query('SELECT pg_sleep(1000)')", guest);
    struct vm *sleeper = world_vm(w, body);
    struct task *task = world_start(sleeper, 60000, no_arguments, &asleep);
    assert_ends(run(w, "while db:query([[SELECT count(*) AS n FROM pg_stat_activity WHERE usename = 'guest' AND "
                       "state = 'active']])[1].n == 0 do sleep(0.01) end return 'asleep'"),
                OK, "asleep");

    snprintf(body, sizeof body, "return postgres('%s'):query('SELECT 1 AS v')[1].v", guest);
    struct vm *vm = world_vm(w, body);
    world_start(vm, 30000, no_arguments, &waits);
    assert_ends(world_run(w, 10000, "sleep(0.2) return 'refused'"), OK, "refused");
    assert_int_equal(waits.calls, 0);
    assert_ends(world_runf(w, 10000, limit, url, -1), OK, "set");
    world_wait(w, &waits);
    assert_ends(waits, OK, "1");
    task_cancel(task);
    vm_retire(vm);
    vm_retire(sleeper);
    world_close(w);
}

static void test_overload(void **state)
{
    struct world *w = open_world();
    assert_ends(
        world_run(
            w, 10000,
            "local ok, e for i = 1, 70 do "
            "ok, e = pcall(function() postgres('postgres://u@127.0.0.1:1/' .. i):query('SELECT 1') end) end return e"),
        OK, "Connection refused"); /* those that nobody uses make room */
    enum { N = 1100 };
    struct outcome *o = calloc(N, sizeof *o);
    char body[512];
    snprintf(body, sizeof body,
             ERROR_OF("postgres('%s', {connections = 1}):query('SELECT 1 AS v')[1].v == 1 and error 'fine'"), url);
    struct vm *vm = world_vm(w, body);
    for (int i = 0; i < N; i++) world_start(vm, 60000, no_arguments, &o[i]);
    int fine = 0, refused = 0;
    for (int i = 0; i < N; i++) {
        world_wait(w, &o[i]);
        fine += strstr(o[i].text, "fine") != NULL;
        refused += strstr(o[i].text, "or 1024 queries that wait for one") != NULL;
    }
    assert_int_equal(fine + refused, N);
    assert_true(fine >= 1024 && refused > 0);
    free(o);
    vm_retire(vm);
    world_close(w);
}

static void test_cancel_in_every_state(void **state)
{
    struct world *w = open_world();
    static const char *const statements[] = {"SELECT 1", "SELECT pg_sleep(1000)", "SELECT generate_series(1, 9000)"};
    for (size_t s = 0; s < sizeof statements / sizeof *statements; s++) {
        for (int turns = 0; turns < 24; turns++) {
            struct outcome o[10]; /* more than connections: some wait for one */
            struct task *t[10];
            char body[512];
            if (turns % 2) snprintf(body, sizeof body, "return #postgres('%s'):query('%s')", url, statements[s]);
            else
                snprintf(body, sizeof body, "return #postgres('postgres://owner@localhost:%d/postgres'):query('%s')",
                         cluster.port, statements[s]);
            struct vm *vm = world_vm(w, body);
            for (int i = 0; i < 10; i++) t[i] = world_start(vm, 20000, no_arguments, &o[i]);
            for (int i = 0; i < turns / 2; i++) uv_run(&w->loop, UV_RUN_NOWAIT);
            for (int i = 0; i < 10; i++)
                if (!o[i].calls) task_cancel(t[i]);
            vm_retire(vm);
        }
    }
    assert_ends(world_runf(w, 20000, "local db = postgres('%s') " UNTIL_ALONE, url), OK, "alone");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_json_and_arrays),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_passwords),
        cmocka_unit_test(test_load_time),
        cmocka_unit_test(test_statements),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_deadline_stops_a_query),
        cmocka_unit_test(test_server_lost),
        cmocka_unit_test(test_idle_connection_lost),
        cmocka_unit_test(test_too_many_connections),
        cmocka_unit_test(test_refused_meanwhile),
        cmocka_unit_test(test_overload),
        cmocka_unit_test(test_cancel_in_every_state),
    };
    return cmocka_run_group_tests(tests, start_cluster, remove_cluster);
}
