# Verbs over CMake; the presets stand in CMakePresets.json, the longer verbs in scripts/.
# Each verb first installs what this machine lacks (scripts/deps).
SECONDS ?= 60
STEPS ?= 100000
SEED ?= $(shell date +%s)
SLOTS ?= 1500
GETS ?= 1000000
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: run test build bench fleet scale fuzz asan tsan apicheck property cluster desync redis-versions soak hostile accept instructions profile lint format docs client docker clean help

run: ## build, start the gateway with the example models, show a miss, a hit and a save; stays up until Ctrl-C
	@scripts/run

test: ## build twice (release, sanitizers) and run every test, fuzzer and linter; CI runs this
	@scripts/test

build: ## build/perigee, for release
	@scripts/deps build
	@scripts/build release
	@ln -sfn release/perigee build/perigee

asan: ## build with AddressSanitizer and UBSan, run the unit tests and the end-to-end tests on it
	@scripts/test --only asan

tsan: ## the same with ThreadSanitizer
	@scripts/test --only tsan

apicheck: build ## the unit tests of gateway/script and what lives in Lua, with a LuaJIT that checks each call of its C API
	@scripts/deps test
	@scripts/apicheck

fuzz: ## every fuzz target for SECONDS=60 each
	@scripts/deps build test
	@scripts/fuzz $(SECONDS)

property: build ## random reads, writes and loads on real gateways, STEPS=100000 on each store and among failures, all judged; and random calls out of the OpenAPI document (SEED=N)
	@scripts/deps test
	@luajit tests/property/interleave.lua --store memory --steps $(STEPS) --seed $(SEED)
	@luajit tests/property/interleave.lua --store redis --steps $(STEPS) --seed $(SEED)
	@luajit tests/property/interleave.lua --store redis --steps $(STEPS) --seed $(SEED) --chaos 1
	@tests/property/openapi.py --requests 20000 --seed $(SEED)

desync: build ## GETS=1000000 pipelined questions to a Redis that cuts connections at random: every answer is its question's
	@scripts/deps test
	@PERIGEE_GETS=$(GETS) build/release/store_test_redis_server

redis-versions: build ## the tests that talk to Redis, against other versions of it and Valkey, as far as Debian has them
	@scripts/deps test
	@scripts/redis-versions

cluster: build ## a Redis Cluster of which 1500 slots move under reads and writes (SLOTS=N), and every suite that runs on Redis on a cluster (15 minutes)
	@scripts/deps test
	@CLUSTER_SLOTS=$(SLOTS) scripts/cluster

soak: build ## what a million failed loads and a hundred thousand missing keys leave in memory
	@scripts/deps test
	@luajit tests/property/soak.lua

hostile: build ## slow clients by the thousand, raw requests through three fronts, restarts behind one, reloads and overload under load, a Redis stopped for ten seconds (five minutes)
	@scripts/deps test hostile
	@luajit tests/property/hostile.lua

bench: build ## measure, beside the floor and the peers (QUICK=1: within 4 minutes); rows are kept in bench/results
	@scripts/deps bench
	@bench/run

scale: build ## does a read cost the same with many models, records, references, bytes? (RECORDS=1000000)
	@scripts/deps bench
	@bench/scale

fleet: build ## what many gateways ask of one Redis: commands, and what telling them of writes costs
	@scripts/deps bench
	@bench/fleet

instructions: build ## what a request costs in instructions, under callgrind, beside the figures that are kept
	@scripts/deps test
	@PERIGEE_BIN=$(CURDIR)/build/perigee busted --lua=luajit -o plainTerminal --pattern=_spec tests/bench

profile: build ## where the instructions of a request go, beside the floor's: JOB=A BYTES=200 (as in make bench), N=20 functions
	@scripts/deps bench test
	@bench/profile $(or $(JOB),A) $(or $(BYTES),200) $(N)

accept: build ## keep what a request costs now as the figures that make instructions compares with
	@scripts/deps test
	@BENCH_ACCEPT=1 PERIGEE_BIN=$(CURDIR)/build/perigee busted --lua=luajit -o plainTerminal --pattern=_spec tests/bench

lint: ## layers, layout, clang-tidy, luacheck; the OpenAPI document where its linters are installed
	@scripts/deps build test lint
	@scripts/lint

format: ## lay out all C files as .clang-format says
	@scripts/deps lint
	find gateway tests bench -name '*.[ch]' | xargs clang-format -i

docs: ## check the links between the pages
	@scripts/links

client: ## generate a TypeScript client from the OpenAPI document and run it, as docs/clients.md shows (needs npm's registry)
	@scripts/deps build
	@scripts/client

docker: ## the image, with docker, podman or buildah, whichever works here
	@scripts/image

clean: ## forget what was built; what scripts/deps unpacked stays
	find build -mindepth 1 -maxdepth 1 ! -name deps -exec rm -rf {} +

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "make %-8s %s\n", $$1, $$2 }'
