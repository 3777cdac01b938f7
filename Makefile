# What can be done with this repository. `make help` tells it.

GO       ?= go
BIN      := bin/ringback
TOOLS    := .tools
LINT     := $(TOOLS)/golangci-lint
LINT_VERSION := v2.15.0
export CGO_ENABLED ?= 0

# The race detector leaves the SQLite engine out. Not so its driver: that has instances of sync.Map's code, which the
# linker would take for everybody, and without them the detector sees races where there are none.
UNRACED := -gcflags='modernc.org/sqlite/lib=-race=false' -gcflags='modernc.org/libc=-race=false'

.DEFAULT_GOAL := help
.PHONY: help build run test test-peers soak race lint bench e2e clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/ringback
	$(GO) build -trimpath -o $(BIN) ./cmd/ringback

run: build ## build, then start the demonstration: SQLite, simulated carrier, made-up tasks
	@exec $(BIN) demo

test: ## run every test, on SQLite and on PostgreSQL; installs what is missing where it may
	@.ci/packages
	$(GO) test -timeout 15m ./...

test-peers: ## install Asterisk 22 and 16, each with a Debian of its own (root), and run the tests that need them
	@GO=$(GO) .ci/peers

soak: ## race four processes over limits while one is killed every second, RINGBACK_SOAK says for how long (1m); then the long tests of events
	RINGBACK_SOAK=$${RINGBACK_SOAK:-1m} $(GO) test -count=1 -v -timeout 60m -run '^TestSoak$$' ./cmd/ringback
	RINGBACK_SOAK=1 $(GO) test -count=1 -v -timeout 120m ./webhooks ./store \
		-run '^(TestNoEventIsLost|TestOrderIsKept|TestAnEventIsStored|TestSickReceivers|TestWhatBecomes|TestAReceiverThatWasAway)'
	RINGBACK_SOAK=1 $(GO) test -count=1 -v -timeout 30m -run '^TestDocsInABrowser$$' ./api
	cd bench && $(GO) test -run '^$$' -bench DeadDestination -benchtime 1x -timeout 30m .

race: ## run the tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short $(UNRACED) -timeout 20m ./...

lint: $(LINT)-$(LINT_VERSION) ## check format, vet and lint
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "not gofmt'd:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(LINT)-$(LINT_VERSION) run --allow-parallel-runners ./...

$(LINT)-$(LINT_VERSION):
	GOBIN=$(CURDIR)/$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv $(LINT) $@

bench: ## measure, beside River on the same PostgreSQL, calls, and memory; figures go to docs/benchmarks.md
	cd bench && $(GO) test -run '^$$' -bench . -benchtime 1x -timeout 60m ./...
	$(GO) test -run '^$$' -bench 'PostTasks$$' -benchtime 50x -timeout 10m ./api
	$(GO) test -run '^$$' -bench HTTP -benchtime 1x -timeout 20m ./cmd/ringback
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 10m ./dialer/sip ./dialer/ari
	$(GO) test -run '^$$' -bench Memory -benchtime 1x -timeout 30m ./cmd/ringback

e2e: build ## run the conversations with the real program alone
	$(GO) test -count=1 -timeout 15m ./cmd/...

clean: ## remove what was built
	rm -rf bin .tools
