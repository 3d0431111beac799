/* `sqlite` on files in a folder of the test's own. */
#include "world.h"

#include <sqlite3.h>
#include <unistd.h>

static char folder[64], file[128];

static void execute(const char *path, const char *sql)
{
    sqlite3 *db;
    char *error = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK) fail_msg("%s", error);
    sqlite3_close(db);
}

static int make_folder(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/perigee-sqlite-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(file, sizeof file, "%s/test.db", folder);
    execute(file, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, score REAL, raw BLOB);"
                  "INSERT INTO t VALUES (1, 'bob', 0.5, x'00ff'), (2, 'Zoë', -3, NULL),"
                  "(9007199254740993, NULL, 1e300, zeroblob(3)), (-9223372036854775808, '', 0, NULL)");
    return 0;
}

static int remove_folder(void **state)
{
    char path[160];
    static const char *const names[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s%s", file, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/new.db", folder);
    unlink(path);
    return rmdir(folder);
}

/* The handler's body after `local db = sqlite(file)`. */
static struct outcome run(struct world *w, const char *body)
{
    return world_runf(w, 5000, "local db = sqlite('%s') %s", file, body);
}

#define ERROR_OF(call) "local ok, e = pcall(function() local r = " call " return r end) return ok and 'no error' or e"

static void test_values(void **state)
{
    struct world *w = world_open();
    assert_ends(run(w, "return #db:query('SELECT * FROM t')"), OK, "4");
    assert_ends(run(w, "local r = db:query('SELECT * FROM t WHERE id = ?', 1)[1] "
                       "return r.id .. r.name .. r.score .. #r.raw .. r.raw:byte(2)"),
                OK, "1bob0.52255");
    assert_ends(run(w, "local r = db:query('SELECT * FROM t WHERE id = 2')[1] "
                       "return r.name .. r.score .. tostring(r.raw == null)"),
                OK, "Zoë-3true");
    assert_ends(run(w, "return tostring(db:query('SELECT id FROM t ORDER BY id DESC LIMIT 1')[1].id)"), OK,
                "9007199254740993LL");
    assert_ends(run(w, "return tostring(db:query('SELECT min(id) AS low FROM t')[1].low)"), OK,
                "-9223372036854775808LL");
    assert_ends(run(w, "return require('cjson').encode(db:query('SELECT id FROM t WHERE id IN (1, 2) ORDER BY id'))"),
                OK, "[{\"id\":1},{\"id\":2}]");
    assert_ends(run(w, "return require('cjson').encode(db:query('SELECT id FROM t WHERE id = 77'))"), OK, "[]");
    assert_ends(run(w, "return tostring(db:query('SELECT 1 AS a, 2 AS a')[1].a)"), OK, "2");
    world_close(w);
}

static void test_arguments(void **state)
{
    struct world *w = world_open();
    assert_ends(
        run(w,
            "local r = db:query('SELECT ? AS a, ? AS b, ? AS c, ? AS d, typeof(?) AS e', 5, 'x', true, 0.25, null)[1]"
            " return r.a .. r.b .. r.c .. r.d .. r.e"),
        OK, "5x10.25null");
    assert_ends(run(w, "local r = db:query('SELECT typeof(?1) || typeof(?2) || typeof(?3) || ?1 AS a', 7, 'z', 0.5)[1] "
                       "return r.a"),
                OK, "integertextreal7");
    assert_ends(run(w, "return db:query('SELECT typeof(?) AS a', 'a\\0b')[1].a"), OK, "blob");
    assert_ends(run(w, "return db:query('SELECT typeof(?) AS a', '\\255')[1].a"), OK, "blob");
    assert_ends(run(w, "return db:query('SELECT typeof(?) AS a', nil)[1].a"), OK, "null");
    assert_ends(run(w, "return db:query('SELECT typeof(?) || ? AS a', 1e300, 1e15)[1].a"), OK, "real1000000000000000");
    assert_ends(run(w, "local id = db:query('SELECT max(id) AS id FROM t')[1].id "
                       "return #db:query('SELECT * FROM t WHERE id = ?', id)"),
                OK, "1");
    assert_ends(
        run(w, "local r = db:query('SELECT :a || @b || $c || :a AS v', {a = 1, b = 'two', c = 3})[1] return r.v"), OK,
        "1two31");
    assert_ends(run(w, "return db:query(\"SELECT ? AS v\", \"'; DROP TABLE t; --\")[1].v"), OK, "'; DROP TABLE t; --");
    world_close(w);
}

static void test_errors(void **state)
{
    static const char *const calls[][2] = {
        {"db:query('SELEC')", "sqlite: near \"SELEC\": syntax error"},
        {"db:query('SELECT * FROM nowhere')", "sqlite: no such table: nowhere"},
        {"db:query('SELECT 1; SELECT 2')", "sqlite: several statements in one string"},
        {"db:query('SELECT 1; DROP TABLE t')", "sqlite: several statements in one string"},
        {"#db:query('SELECT 1 AS a; -- only a comment') == 1 and error 'fine'", "fine"},
        {"db:query('')", "sqlite: no statement"},
        {"db:query('-- nothing')", "sqlite: no statement"},
        {"db:query('SELECT ?')", "sqlite: 0 arguments for 1 parameters"},
        {"db:query('SELECT 1', 5)", "sqlite: 1 arguments for 0 parameters"},
        {"db:query('SELECT :a', {b = 1})", "sqlite: no argument for `:a`"},
        {"db:query('SELECT :a', {a = 1, b = 1})", "sqlite: the statement has no `:b`"},
        {"db:query('SELECT ?', {a = 1})", "sqlite: named arguments, but the statement has a `?`"},
        {"db:query('SELECT ?', {1})", "sqlite: a table of arguments has names"},
        {"db:query('SELECT ?, ?', function() end, 1)", "sqlite: cannot bind a function"},
        {"db:query('SELECT ?, ?', {}, 1)", "sqlite: cannot bind a table"},
        {"db:query()", "sqlite: the statement must be a string, got no value"},
        {"db:query('SELECT \\0')", "sqlite: NUL byte in the statement"},
        {"db.query('SELECT 1')", "sqlite: call it as db:query(sql, ...)"},
        {"db.query(null, 'SELECT 1')", "sqlite: call it as db:query(sql, ...)"},
        {"db:query(\"ATTACH '/tmp/other.db' AS o\")", "sqlite: too many attached databases"},
        {"db:query(\"VACUUM INTO '/tmp/other.db'\")", "sqlite: "},
        {"db:query(\"SELECT load_extension('x')\")", "sqlite: "},
        {"db:query('BEGIN')", "sqlite: a transaction cannot span queries"},
        {"db:query('INSERT INTO t (id) VALUES (1)')", "sqlite: UNIQUE constraint failed: t.id"},
        {"db:query('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n')",
         "sqlite: more than 10000 rows"},
        {"db:query('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT zeroblob(1000000) FROM n')",
         "sqlite: rows of more than 16777216 bytes"},
        {"db:query('SELECT zeroblob(1000000000)')", "sqlite: string or blob too big"},
        {"sqlite ':memory:'", "sqlite: the path must be that of a file"},
        {"sqlite ''", "sqlite: the path must be that of a file"},
        {"sqlite 'file:x?mode=memory'", "sqlite: the path must be that of a file"},
        {"sqlite('x', {readnly = true})", "sqlite: unknown option `readnly` (there are: readonly, create)"},
        {"sqlite('x', {readonly = 1})", "sqlite: readonly must be true or false"},
        {"sqlite('/nonexistent/x.db'):query('SELECT 1')", "sqlite: unable to open database file"},
    };
    struct world *w = world_open();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char body[1024];
        snprintf(body, sizeof body, ERROR_OF("%s"), calls[i][0]);
        assert_ends(run(w, body), OK, calls[i][1]);
    }
    assert_ends(run(w, "db:query('SELECT * FROM nowhere')"), LOADER_ERROR,
                "test.lua:1: sqlite: no such table: nowhere");
    assert_ends(run(w, "return getmetatable(db)"), OK, "false");
    assert_ends(run(w, "return #db:query('SELECT * FROM t')"), OK, "4"); /* all of it is still there */
    world_close(w);
}

static void test_writing(void **state)
{
    struct world *w = world_open();
    assert_ends(run(w, "db:query('CREATE TABLE w (a)') local r = db:query('INSERT INTO w VALUES (1), (2)') "
                       "local u = db:exec('UPDATE w SET a = a + 1') return #r .. r.changes .. u.changes"),
                OK, "022");
    assert_ends(run(w, "local r = db:query('INSERT INTO w VALUES (9) RETURNING a') return r[1].a"), OK, "9");
    assert_ends(run(w, "local r = db:query('DROP TABLE w') return r.changes"), OK, "0");
    assert_ends(world_runf(w, 5000, "sqlite('%s', {readonly = true}):query('DELETE FROM t')", file), LOADER_ERROR,
                "sqlite: attempt to write a readonly database");
    assert_ends(world_runf(w, 5000, "sqlite('%s/new.db'):query('CREATE TABLE x (a)')", folder), LOADER_ERROR,
                "sqlite: unable to open database file");
    assert_ends(
        world_runf(w, 5000, "sqlite('%s/new.db', {create = true}):query('CREATE TABLE x (a)') return 'made'", folder),
        OK, "made");
    world_close(w);
}

/* A file opened at load, used by handlers; opened only then. */
static void test_load_time(void **state)
{
    struct world *w = world_open();
    char text[512], findings[1024];
    struct outcome o;
    snprintf(text, sizeof text,
             "local db = sqlite '%s'\nmodel \"T\" { id = key(), from_miss = function() return #db:query 'SELECT * FROM "
             "t' end }",
             file);
    struct vm *vm = world_load(w, text, findings, sizeof findings);
    assert_non_null(vm);
    world_start(vm, 5000, no_arguments, &o);
    world_wait(w, &o);
    assert_ends(o, OK, "4");
    vm_retire(vm);

    snprintf(text, sizeof text, "sqlite '%s':query 'SELECT 1'\nmodel \"T\" { id = key() }", file);
    assert_null(world_load(w, text, findings, sizeof findings));
    assert_non_null(strstr(findings, "sqlite: cannot wait here: a schema file does no I/O while it is loaded"));
    world_close(w);
}

/* A file that is replaced under the same name is opened anew. */
static void test_replaced_file(void **state)
{
    struct world *w = world_open();
    char other[160];
    struct outcome o;
    snprintf(other, sizeof other, "%s/new.db", folder);
    unlink(other);
    execute(other, "CREATE TABLE v (a); INSERT INTO v VALUES ('old')");
    char body[256];
    snprintf(body, sizeof body, "return sqlite('%s'):query('SELECT a FROM v')[1].a", other);
    struct vm *vm = world_vm(w, body);
    world_start(vm, 5000, no_arguments, &o);
    world_wait(w, &o);
    assert_ends(o, OK, "old");

    char made[200];
    snprintf(made, sizeof made, "%s.made", other);
    execute(made, "CREATE TABLE v (a); INSERT INTO v VALUES ('new')");
    assert_int_equal(rename(made, other), 0);
    world_start(vm, 5000, no_arguments, &o);
    world_wait(w, &o);
    assert_ends(o, OK, "new");
    vm_retire(vm);
    world_close(w);
}

/* --- many, locks, ends -------------------------------------------------------------------------------------------- */

#define ENDLESS "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

static void test_many_at_once(void **state)
{
    enum { N = 50 };
    struct world *w = world_open();
    struct outcome o[N];
    char body[512];
    snprintf(body, sizeof body,
             "local db = sqlite '%s' local n = 0 for i = 1, 25 do "
             "n = n + #db:query('SELECT ' .. i .. ' FROM t WHERE id = ?', 1) end return n",
             file);
    struct vm *vm = world_vm(w, body);
    for (int i = 0; i < N; i++) world_start(vm, 30000, no_arguments, &o[i]);
    for (int i = 0; i < N; i++) {
        world_wait(w, &o[i]);
        assert_ends(o[i], OK, "25");
    }
    vm_retire(vm);
    world_close(w);
}

static int open_files(void)
{
    int n = 0;
    for (int fd = 3; fd < 1024; fd++) {
        char name[32], path[256];
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(name, path, sizeof path);
        n += length > 0 && slice_starts(slice_from(path, (size_t)length), slice_of(folder));
    }
    return n;
}

/* More files than are kept open, one after the other: the one not asked for longest makes room. */
static void test_many_files(void **state)
{
    enum { N = 3 * 64 / 2 };
    struct world *w = world_open();
    struct outcome o;
    char body[512];
    snprintf(
        body, sizeof body,
        "local function ask(i) return #sqlite('%s/' .. i, { create = true }):query('SELECT * FROM sqlite_master') end "
        "for i = 1, %d do ask(i) end for i = 1, 10 do ask(i) end return 'all'",
        folder, N);
    struct vm *vm = world_vm(w, body);
    world_start(vm, 30000, no_arguments, &o);
    world_wait(w, &o);
    assert_ends(o, OK, "all");
    assert_in_range(open_files(), 60, 66); /* two of them may be closing */
    vm_retire(vm);
    world_close(w);
    assert_int_equal(open_files(), 0);
    for (int i = 1; i <= N; i++) {
        char path[96];
        snprintf(path, sizeof path, "%s/%d", folder, i);
        assert_int_equal(unlink(path), 0);
    }
}

static void test_deadline_stops_a_query(void **state)
{
    struct world *w = world_open();
    struct outcome o =
        world_runf(w, 50, "pcall(function() sqlite('%s'):query('" ENDLESS "') end) return 'went on'", file);
    assert_int_equal(o.status, LOADER_TIMEOUT);
    assert_ends(run(w, "return #db:query('SELECT * FROM t')"), OK, "4");
    world_close(w); /* ends only when the thread has let go */
}

static void test_lock_held_elsewhere(void **state)
{
    struct world *w = world_open();
    sqlite3 *db;
    struct outcome o;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    o = world_runf(w, 60, "return #sqlite('%s'):query('SELECT * FROM t')", file);
    assert_int_equal(o.status, LOADER_TIMEOUT);

    char body[256];
    snprintf(body, sizeof body, "return #sqlite('%s'):query('SELECT * FROM t')", file);
    struct vm *vm = world_vm(w, body);
    world_start(vm, 20000, no_arguments, &o);
    for (int i = 0; i < 20; i++) uv_run(&w->loop, UV_RUN_NOWAIT);
    assert_int_equal(o.calls, 0);
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    world_wait(w, &o);
    assert_ends(o, OK, "4");
    sqlite3_close(db);
    vm_retire(vm);
    world_close(w);
}

static void test_cancel_in_every_state(void **state)
{
    struct world *w = world_open();
    static const char *const statements[] = {"SELECT * FROM t", ENDLESS};
    for (size_t s = 0; s < sizeof statements / sizeof *statements; s++) {
        for (int turns = 0; turns < 6; turns++) {
            struct outcome o[10]; /* more than connections: some wait for one */
            struct task *t[10];
            char body[512];
            snprintf(body, sizeof body, "return #sqlite('%s'):query('%s')", file, statements[s]);
            struct vm *vm = world_vm(w, body);
            for (int i = 0; i < 10; i++) t[i] = world_start(vm, 5000, no_arguments, &o[i]);
            for (int i = 0; i < turns; i++) uv_run(&w->loop, UV_RUN_NOWAIT);
            for (int i = 0; i < 10; i++)
                if (!o[i].calls) task_cancel(t[i]);
            vm_retire(vm);
        }
    }
    assert_ends(run(w, "return #db:query('SELECT * FROM t')"), OK, "4");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_load_time),
        cmocka_unit_test(test_replaced_file),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_many_files),
        cmocka_unit_test(test_deadline_stops_a_query),
        cmocka_unit_test(test_lock_held_elsewhere),
        cmocka_unit_test(test_cancel_in_every_state),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
