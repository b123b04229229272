# `.ci/run` runs `make test`; `make all` is for before a commit. Tools are pinned
# here and come through the Go module proxy; nothing is downloaded as a binary.
# They are built once into bin/, under a name that has their version.
GOLANGCI_VERSION = v2.15.0
GOLANGCI  = bin/golangci-lint-$(GOLANGCI_VERSION)
SUMTYPE   = go run github.com/alecthomas/go-check-sumtype/cmd/go-check-sumtype@v0.3.1
BENCHSTAT = go run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
FUZZTIME ?= 20s
KILLS    ?= 1000
PHONES   ?= 100000
BENCH    ?= .
PKGS     ?= ./...

.DEFAULT_GOAL := help
.PHONY: run test all setup build unit race e2e crash fuzz golden scale bench bench-cmp compare cover lint fmt fix tidy generate check-generated hooks help

run: build ## build the daemon and start the demo: phones can register and call
	exec bin/bellhop demo $(DEMO)

# Each phase has its time (seconds): 19 minutes for all of them, a third of it on two idle cores.
# The end-to-end tests start the binary that the build phase left in bin/.
test: ## all set-up, lint, unit, race and end-to-end tests: what CI runs
	@.ci/phase setup 120 .ci/setup
	@.ci/phase build 90 $(MAKE) --no-print-directory build
	@.ci/phase lint 150 $(MAKE) --no-print-directory lint
	@.ci/phase unit 180 $(MAKE) --no-print-directory unit
	@.ci/phase race 300 $(MAKE) --no-print-directory race
	@.ci/phase e2e 300 $(MAKE) --no-print-directory e2e

all: check-generated lint build race ## all checks, before a commit

setup: ## install what the tests need: redis-server, PostgreSQL, sip-tester, baresip, linphone, Node (Debian)
	.ci/setup

build: ## the daemon, reproducibly, as bin/bellhop
	CGO_ENABLED=0 go build -trimpath -o bin/bellhop ./cmd/bellhop

unit: ## unit tests, in random order; then how much of routing the random worlds proved
	go test -shuffle=on $(PKGS)
	@go test -count 1 -run '^TestWorlds$$' -v ./routing | sed -n 's/.*worlds_test.go:[0-9]*: /== routing: /p'

race: ## unit tests under the race detector, in fewer random worlds and without the longest
	BELLHOP_TEST_WORLDS=100 go test -race -short -shuffle=on $(PKGS)

e2e: build ## tests with the whole daemon and real peers (Redis, SIPp, softphones); they mostly wait: more at once than cores
	BELLHOP_BIN=$(CURDIR)/bin/bellhop go test -tags e2e -count 1 -parallel 6 ./cmd/...

crash: build ## kill -9 stores and daemon KILLS times each and look for what was acknowledged
	BELLHOP_TEST_CRASH_KILLS=$(KILLS) go test -count 1 -timeout 30m -v -run '^TestCrash$$' ./store/sqlstore
	BELLHOP_BIN=$(CURDIR)/bin/bellhop BELLHOP_TEST_CRASH_KILLS=$(KILLS) go test -tags e2e -count 1 -timeout 60m -v -run '^TestE2EKillRegister$$' ./cmd/bellhop

scale: build ## PHONES bindings: memory, and how soon a start serves calls
	BELLHOP_TEST_SCALE=$(PHONES) go test -count 1 -v -run '^TestHeapOfBinding$$' ./store/binding
	BELLHOP_BIN=$(CURDIR)/bin/bellhop BELLHOP_TEST_SCALE=$(PHONES) go test -tags e2e -count 1 -timeout 20m -v -run '^TestE2ERestart$$' ./cmd/bellhop

fuzz: ## every fuzz target for FUZZTIME (of PKGS)
	@go list $(PKGS) | while read -r p; do \
	  go test -list '^Fuzz' $$p | grep '^Fuzz' | while read -r f; do \
	    go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
	  done || exit 1; done

golden: ## rewrite the golden files; read the diff before you commit it
	go test ./routing/... -update

bench: ## Go micro-benchmarks (BENCH=regexp, PKGS=...), ten runs into bench.new
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count 10 $(PKGS) | tee bench.new

bench-cmp: ## bench.old against bench.new
	$(BENCHSTAT) bench.old bench.new

compare: build ## side by side with other servers, same work (COMPARE=flags)
	.ci/setup kamailio kamailio-sqlite-modules sqlite3
	go run ./bench $(COMPARE)

cover: ## coverage of all packages by all tests
	go test -coverpkg ./... -coverprofile cover.out ./...
	go tool cover -func cover.out | tail -1

lint: $(GOLANGCI) ## all linters, and the switches over sum types of other packages
	$(GOLANGCI) run --allow-serial-runners --build-tags e2e $(PKGS)
	$(SUMTYPE) -default-signifies-exhaustive=false $(PKGS)

fmt: $(GOLANGCI) ## format
	$(GOLANGCI) fmt ./...

fix: ## rewrite to the idioms of our Go version
	go fix ./...

tidy: ## go.mod and go.sum
	go mod tidy

generate: ## everything generated, generated again
	go generate ./...

check-generated: generate ## fails when the tree differs from what it generates
	go mod tidy -diff
	git diff --exit-code

hooks: ## use the git hooks of this repository
	git config core.hooksPath .githooks

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(GOLANGCI):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv bin/golangci-lint $@
