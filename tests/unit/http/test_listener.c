/* Addresses: what can be read, what is printed, ports and socket files that are taken. */
#include "http/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status bind_one(struct listener *l, const char *address, struct problem *why)
{
    return listener_bind(l, slice_of(address), 1, why);
}

static void reads_addresses(void **state)
{
    static const char *const bad[] = {
        "",         "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:-1", "127.0.0.1:65536", "host.example:80",
        "1.2.3:80", "[::1]",     "[]:80",      "::1:80",      "unix:",        "[127.0.0.1]:80",  "1.2.3.4.5:0"};
    struct listener l;
    struct problem why;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(bind_one(&l, bad[i], &why), MALFORMED_REQUEST);
        assert_non_null(strstr(why.detail, bad[i]));
    }
    char long_path[300] = "unix:/";
    memset(long_path + 6, 'a', sizeof long_path - 7);
    assert_int_equal(bind_one(&l, long_path, &why), MALFORMED_REQUEST);
}

static void prints_the_port_it_got(void **state)
{
    static const char *const address[] = {":0", "localhost:0", "127.0.0.1:0"};
    struct problem why;
    for (size_t i = 0; i < 3; i++) {
        struct listener l;
        assert_int_equal(bind_one(&l, address[i], &why), OK);
        assert_memory_equal(l.address, "127.0.0.1:", 10);
        assert_true(atoi(l.address + 10) > 0);
        listener_close(&l);
    }
    struct listener l;
    if (bind_one(&l, "[::1]:0", &why) != OK) return; /* a machine without IPv6 */
    assert_memory_equal(l.address, "[::1]:", 6);
    listener_close(&l);
}

static void binds_once_a_worker(void **state)
{
    struct listener l;
    struct problem why;
    assert_int_equal(listener_bind(&l, SLICE("127.0.0.1:0"), 3, &why), OK);
    assert_int_equal(l.n, 3);
    for (size_t i = 0; i < 3; i++) {
        struct sockaddr_in in;
        socklen_t n = sizeof in;
        assert_int_equal(getsockname(l.fd[i], (struct sockaddr *)&in, &n), 0);
        assert_int_equal(ntohs(in.sin_port), atoi(strchr(l.address, ':') + 1));
    }
    listener_close(&l);
}

static void refuses_a_port_in_use(void **state)
{
    struct listener l, other;
    struct problem why;
    assert_int_equal(bind_one(&l, "127.0.0.1:0", &why), OK);
    assert_int_equal(listen(l.fd[0], 1), 0);
    assert_int_equal(bind_one(&other, l.address, &why), INTERNAL);
    assert_non_null(strstr(why.detail, l.address));
    assert_non_null(strstr(why.detail, "in use"));
    listener_close(&l);
    assert_int_equal(bind_one(&other, "203.0.113.1:80", &why), INTERNAL); /* not an address of this machine */
}

static void minds_socket_files(void **state)
{
    char path[64], address[80];
    snprintf(path, sizeof path, "/tmp/perigee-listener-%d.sock", (int)getpid());
    snprintf(address, sizeof address, "unix:%s", path);
    struct listener l, other;
    struct problem why;
    struct stat st;
    assert_int_equal(listener_bind(&l, slice_of(address), 2, &why), OK);
    assert_string_equal(l.address, address);
    assert_int_equal(l.n, 2);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_int_equal(bind_one(&other, address, &why), INTERNAL); /* somebody answers there */
    assert_non_null(strstr(why.detail, "in use"));
    close(l.fd[0]);
    close(l.fd[1]);
    l.fd[0] = l.fd[1] = -1;
    assert_int_equal(bind_one(&other, address, &why), OK); /* nobody does any more */
    listener_close(&other);
    assert_int_not_equal(stat(path, &st), 0);
    listener_close(&l);

    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(bind_one(&l, address, &why), INTERNAL);
    assert_non_null(strstr(why.detail, "no socket"));
    assert_int_equal(stat(path, &st), 0);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_addresses),     cmocka_unit_test(prints_the_port_it_got),
        cmocka_unit_test(binds_once_a_worker), cmocka_unit_test(refuses_a_port_in_use),
        cmocka_unit_test(minds_socket_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
