# bench/servers.sh -- how Perigee, its floors and its peers are built and started, each with one worker on core 0; Redis on core 1.
# Sourced by bench/run. After `start_X NAME ...` port[NAME], pid[NAME] and command[NAME] are set.

declare -A pid port command
work=$(mktemp -d)
chmod 711 "$work" # nginx gives its folders below it to nobody
deps=${PERIGEE_DEPS:-$PWD/build/deps} # where scripts/deps unpacks what Debian 12 lacks; to Perigee it is an unknown variable
unset PERIGEE_DEPS
# An interrupted run leaves nothing behind.
trap 'kill $(jobs -p) 2>/dev/null || :; wait; rm -rf "$work"' EXIT # where nothing runs any more kill fails, which is no failure
perigee=$PWD/build/perigee
lua=$PWD/build/bench/nginx # nginx's Lua module, unpacked beside the system

free_port() { luajit -e 'local s = require("socket").bind("127.0.0.1", 0); print((select(2, s:getsockname())))'; }
wait_for() { for _ in $(seq 200); do eval "$1" && return; sleep 0.05; done; cat "$work"/*.err >&2; echo "bench: not so after 10 s: $1" >&2; exit 1; }
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

start() { # NAME COMMAND... -- on core 0, once its port answers
    local name=$1
    shift
    command[$name]="$*"
    taskset -c 0 "$@" >"$work/$name.out" 2>"$work/$name.err" &
    pid[$name]=$!
    wait_for "answers ${port[$name]}"
}

stop() {
    local name
    for name in "$@"; do kill "${pid[$name]}"; wait "${pid[$name]}" 2>/dev/null || true; done
}

# -- building --

build_own() {
    local program libraries
    libraries=$(ls -d "$deps"/usr/lib/*-linux-gnu* 2>/dev/null || true)
    for program in floor_{memory,redis,save,document,loader} client; do
        cc -O2 -D_GNU_SOURCE ${libraries:+-I"$deps/usr/include" -L"$libraries" -Wl,-rpath,"$libraries"} \
            bench/$program.c -o "$work/$program" -luv -lyyjson
    done
}

# Debian's package of the module would replace the system's LuaJIT, which Perigee is built with. So its five packages are unpacked.
unpack_nginx_lua() {
    [ ! -e "$lua/done" ] || return 0
    mkdir -p "$lua"
    (cd "$lua" && apt-get -qq download libnginx-mod-http-{lua,ndk} lua-resty-{core,lrucache} libluajit2-5.1-2 2>/dev/null &&
        for deb in *.deb; do dpkg -x "$deb" .; done && touch done)
}

# -- ours --

start_perigee() { # NAME STORE FLAG... -- of the bench's models, or those in MODELS
    port[$1]=$(free_port)
    start "$1" "$perigee" serve "${MODELS:-bench/schemas}" --listen "127.0.0.1:${port[$1]}" --admin off --workers "${WORKERS:-1}" \
        --memory-bytes 4GiB --store "$2" "${@:3}"
}

start_floor() { # KIND ARGUMENT...
    port[floor_$1]=$(free_port)
    start "floor_$1" "$work/floor_$1" "${port[floor_$1]}" "${@:2}"
}

start_redis() {
    port[redis]=$(free_port)
    taskset -c 1 redis-server --port "${port[redis]}" --bind 127.0.0.1 --save '' --appendonly no --dir "$work" >"$work/redis.out" &
    pid[redis]=$!
    wait_for "answers ${port[redis]}"
    export BENCH_REDIS_PORT=${port[redis]}
}

# -- the peers --

return_of() { # BYTES -> nginx's words; a word of its configuration may not be longer than 4096
    local i k
    k=$(printf 'x%.0s' $(seq $(($1 < 2048 ? $1 : 2048))))
    printf 'set $k "%s"; return 200 "' "$k"
    for ((i = 0; i < ($1 + 2047) / 2048; i++)); do printf '${k}'; done
    printf '";'
}

start_nginx() { # BYTES ORIGIN DICT
    local cpath
    cpath=$(ls -d /usr/lib/*-linux-gnu*/lua/5.1 | head -n 1)/?.so
    port[nginx]=$(free_port)
    sed "s|@WORK@|$work|; s|@LUA@|$lua|; s|@BENCH@|$PWD/bench|; s|@CPATH@|$cpath|; s|@PORT@|${port[nginx]}|; s|@ORIGIN@|$2|
        s|@DICT@|$3|; s|@RETURN@|$(return_of "$1")|" bench/nginx.conf >"$work/nginx.conf"
    LD_LIBRARY_PATH=$(ls -d "$lua"/usr/lib/*-linux-gnu*) start nginx nginx -c "$work/nginx.conf" -e "$work/nginx.err"
}

start_webdis() {
    port[webdis]=$(free_port)
    cat >"$work/webdis.json" <<END
{ "redis_host": "127.0.0.1", "redis_port": ${port[redis]}, "http_host": "127.0.0.1", "http_port": ${port[webdis]}, "threads": 1,
  "pool_size": 20, "daemonize": false, "database": 0, "verbosity": 0, "logfile": "$work/webdis.log" }
END
    start webdis webdis "$work/webdis.json"
}

start_varnish() { # ORIGIN
    port[varnish]=$(free_port)
    start varnish varnishd -F -n "$work/varnish" -a "127.0.0.1:${port[varnish]}" -b "127.0.0.1:$1" -s malloc,2g -t 86400 \
        -p thread_pools=1 -p thread_pool_min=50 -T none
}

start_haproxy() { # ORIGIN MEGABYTES
    port[haproxy]=$(free_port)
    cat >"$work/haproxy.cfg" <<END
global
    nbthread 1
    maxconn 9000
defaults
    mode http
    timeout client 600s
    timeout server 10s
    timeout connect 5s
cache records
    total-max-size $2
    max-object-size 100000
    max-age 86400
frontend bench
    bind 127.0.0.1:${port[haproxy]}
    http-request cache-use records
    http-response set-header Cache-Control "max-age=86400"
    http-response cache-store records
    default_backend origin
backend origin
    server origin 127.0.0.1:$1
END
    start haproxy haproxy -f "$work/haproxy.cfg" -db
}

start_memcached() {
    port[memcached]=$(free_port)
    start memcached memcached -u root -l 127.0.0.1 -p "${port[memcached]}" -m 2048 -t 1
}
