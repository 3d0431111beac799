/* libraries.c -- asks each library for its own version, since those that are shared can be newer than what we were compiled with. */
#include "libraries.h"

#include "base/json.h"
#include "script/vm.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <hiredis/hiredis.h>
#include <libpq-fe.h>
#include <llhttp.h>
#include <nettle/version.h>
#include <sqlite3.h>
#include <stdio.h>
#include <uv.h>
#include <yyjson.h>
#include <zlib.h>

struct version {
    char text[32];
};

static struct version numbered(unsigned major, unsigned minor, unsigned patch)
{
    struct version v;
    snprintf(v.text, sizeof v.text, "%u.%u.%u", major, minor, patch);
    return v;
}

static struct version nettle_text(void)
{
    struct version v;
    snprintf(v.text, sizeof v.text, "%d.%d", nettle_version_major(), nettle_version_minor());
    return v;
}

/* -- those that wait until they are needed -- */

static const char *curl_text(void *function)
{
    __typeof__(&curl_version_info) version_info = (__typeof__(&curl_version_info))function;
    return version_info(CURLVERSION_NOW)->version;
}

/* 150006 is 15.6. */
static const char *libpq_text(void *function)
{
    static _Thread_local struct version v;
    int number = ((__typeof__(&PQlibVersion))function)();
    snprintf(v.text, sizeof v.text, "%d.%d", number / 10000, number % 10000);
    return v.text;
}

/* OpenSSL 3.0.15 3 Sep 2024 */
static const char *openssl_text(void *function)
{
    static _Thread_local struct version v;
    const char *(*version)(int) = (const char *(*)(int))function;
    if (sscanf(version(0), "%*s %31s", v.text) != 1) return "unknown";
    return v.text;
}

static const struct {
    const char *name, *file, *function;
    const char *(*text)(void *function);
} lazy[] = {
    {"libcurl", "libcurl.so.4", "curl_version_info", curl_text},
    {"libpq", "libpq.so.5", "PQlibVersion", libpq_text},
    {"OpenSSL", "libssl.so.3", "OpenSSL_version", openssl_text},
};

static void each_lazy(bool load, library_found *found, void *arg)
{
    for (size_t i = 0; i < sizeof lazy / sizeof *lazy; i++) {
        void *library = dlopen(lazy[i].file, RTLD_LAZY | (load ? 0 : RTLD_NOLOAD));
        void *function = library ? dlsym(library, lazy[i].function) : NULL;
        if (function) found(arg, lazy[i].name, lazy[i].text(function));
        if (library) dlclose(library);
    }
}

/* -- all -- */

void libraries_each(bool load, library_found *found, void *arg)
{
    const char *engine = vm_engine();
    const char *space = strchr(engine, ' '); /* LuaJIT 2.1.0-beta3 */
    uint32_t yyjson = yyjson_version();
    found(arg, "LuaJIT", space ? space + 1 : engine);
    found(arg, "libuv", uv_version_string());
    found(arg, "hiredis", numbered(HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH).text);
    found(arg, "llhttp", numbered(LLHTTP_VERSION_MAJOR, LLHTTP_VERSION_MINOR, LLHTTP_VERSION_PATCH).text);
    found(arg, "yyjson", numbered(yyjson >> 16, yyjson >> 8 & 0xff, yyjson & 0xff).text);
    found(arg, "SQLite", sqlite3_libversion());
    found(arg, "zlib", zlibVersion());
    found(arg, "nettle", nettle_text().text);
    each_lazy(load, found, arg);
}

static void put_member(void *arg, const char *name, const char *version)
{
    struct buffer *out = arg;
    if (out->p[out->n - 1] != '{') buffer_char(out, ',');
    json_put_string(out, slice_of(name));
    buffer_char(out, ':');
    json_put_string(out, slice_of(version));
}

void libraries_put_json(struct buffer *out)
{
    buffer_slice(out, SLICE("{\"version\":\"" PERIGEE_VERSION "\",\"libraries\":{"));
    libraries_each(false, put_member, out);
    buffer_slice(out, SLICE("}}"));
}
