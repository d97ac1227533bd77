# gpt2q. `make help` lists the targets.
# Objects live under build/<configuration>/. CONFIG names the configuration: release (the default, the only one
# that leaves its results in the root), sanitize, tsan, fuzz, or any other name for a second release build.
VERSION     := 0.1.0
CONFIG      ?= release
PREFIX      ?= /usr/local
DESTDIR     ?=
PKG_CONFIG  ?= pkg-config
FUZZ_SECONDS ?= 30
SWEEP       ?= 100000
DATADIR     := $(PREFIX)/share/gpt2q
BUILD       := build/$(CONFIG)
UNAME_M     := $(shell uname -m)
UNAME_S     := $(shell uname -s)
SONAME      := libgpt2q.so.$(firstword $(subst ., ,$(VERSION)))

PKGS        := libcjson libutf8proc
PKG_CFLAGS  := $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
PKG_LIBS    := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null || echo -lcjson -lutf8proc)
# `gpt2q pull` is built with libcurl's headers and loads the library when it runs. CURL= builds without.
CURL        ?= $(shell $(PKG_CONFIG) --exists libcurl 2>/dev/null && echo yes)
# `serve` is built with libmicrohttpd's header, on Linux, and loads it, too. MHD= builds without.
MHD         ?= $(if $(filter Linux,$(UNAME_S)),$(shell $(PKG_CONFIG) --exists libmicrohttpd 2>/dev/null && echo yes))
CMOCKA_LIBS  = $(shell $(PKG_CONFIG) --libs cmocka 2>/dev/null || echo -lcmocka)

comma         := ,
# ---- flags -----------------------------------------------------------------------------------------------------
WARN          := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
# A fault in a parser ends the program instead of serving somebody: a canary on every stack with an array, checked copies. HARDEN= leaves
# it out. Kernels go without: they take shapes that were checked. Sanitizers have checks of their own.
FORTIFY       := $(shell echo 'int x;' | $(CC) -O2 -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -include stdio.h -x c -c - -o /dev/null 2>/dev/null && echo 3 || echo 2)
HARDEN        ?= -fstack-protector-strong $(if $(filter -O0,$(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$(FORTIFY))
OPT.release   := -O3 -g1 $(HARDEN)
OPT.sanitize  := -O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT.tsan      := -O1 -g1 -fsanitize=thread
OPT.fuzz      := -O1 -g1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
# Checks in every tile of every product take minutes to compile. The fuzzers try parsers: no kernel has checks there. `make sanitize` has
# them but for these three: a wrong access that comes of such a pointer is one that the address sanitizer sees.
MOPT.fuzz      := -fno-sanitize=all -O2
MOPT.sanitize  := -fno-sanitize=null,pointer-overflow,object-size
OPT           := $(or $(OPT.$(CONFIG)),$(OPT.release))
# Fatal in CI, except with sanitizers: their code makes gcc suspect variables that are always set.
WERROR        ?= $(if $(CI),$(if $(findstring sanitize,$(OPT)),,-Werror))
# -ffp-contract=off comes last: the bits of a result depend on it (ARCHITECTURE.md, "The same bits").
BITS          := -fno-fast-math -ffp-contract=off
ALL_CPPFLAGS   = -D_GNU_SOURCE -DGPT2Q_VERSION_STRING='"$(VERSION)"' -Iinclude -Isrc -I. $(CPPFLAGS)
ALL_CFLAGS     = -std=c11 $(WARN) $(WERROR) $(OPT) -fPIC -fvisibility=hidden -pthread $(OPENMP) $(PKG_CFLAGS) $(CFLAGS) $(BITS)
# What the loader has put in place nobody writes any more; the program lies at another address in each run.
HARDEN_LINK   ?= $(if $(filter Linux,$(UNAME_S)),-Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now)
HARDEN_PIE    ?= $(if $(filter Linux,$(UNAME_S)),-pie)
LINK           = $(CC) $(ALL_CFLAGS) $(HARDEN_LINK) $(LDFLAGS)
# The compiler brings its OpenMP runtime (gcc: libgomp, clang: libomp). Programs link libgpt2q.a with OPENMP_LIB.
OPENMP        ?= $(if $(filter Darwin,$(UNAME_S)),-Xpreprocessor )-fopenmp
OPENMP_LIB    ?= $(if $(findstring clang,$(shell $(CC) --version 2>/dev/null)),-lomp,-lgomp)
# glibc loads libgcc_s when a thread of the runtime ends, and aborts where that fails: it is there from the beginning.
GCC_S         := $(if $(findstring /,$(shell $(CC) -print-file-name=libgcc_s.so.1 2>/dev/null)),-Wl$(comma)--no-as-needed -lgcc_s -Wl$(comma)--as-needed)
ALL_LIBS       = $(GCC_S) $(PKG_LIBS) $(LDLIBS) $(if $(filter Darwin,$(UNAME_S)),-lomp,-ldl) -lm

# ---- sources: a folder is a layer ---------------------------------------------------------------------------------
# *.isa.c (kernels/, qtensor/, train/, methods/) are compiled once per instruction set. A set that only adds a dot
# product of codes to another set shares its objects; only *.dot.isa.c are compiled for it.
LIB_DIRS  := src/base src/kernels src/qtensor tokenizer src/model src/engine src/quantize src/train src/methods src/study src/openai
DOT_SRC   := $(wildcard src/kernels/*.dot.isa.c src/qtensor/*.dot.isa.c)
ISA_SRC   := $(filter-out $(DOT_SRC),$(wildcard src/kernels/*.isa.c src/qtensor/*.isa.c src/train/*.isa.c src/methods/*.isa.c))
LIB_SRC   := $(filter-out %.isa.c,$(foreach d,$(LIB_DIRS),$(wildcard $(d)/*.c)))
APP_SRC   := $(wildcard src/app/*.c src/app/*/*.c)
ISAS      := scalar
ifneq ($(filter x86_64 amd64,$(UNAME_M)),)
ISAS      += avx2 avx512
DOT_ISAS  := avxvnni avx512vnni amx
endif
# -O1: only the reference here; 0.9 (floats) and 0.6 (codes) of the speed of -O3, compiled in 0.3 to 0.6 of the time.
MFLAGS.scalar     := $(if $(filter-out scalar,$(ISAS)),-O1)
# A distribution's -O2 does not reach kernels: gcc then keeps sums in memory, and products of floats take up to four times as long.
MFLAGS.avx2       := -mavx2 -mfma -mf16c $(if $(filter -O2 -Os,$(CFLAGS)),-O3)
MFLAGS.avxvnni    := $(MFLAGS.avx2) -mavxvnni
MFLAGS.avx512     := $(MFLAGS.avx2) -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512
MFLAGS.avx512vnni := $(MFLAGS.avx512) -mavx512vnni
MFLAGS.amx        := $(MFLAGS.avx512vnni) -mamx-tile -mamx-int8

# The server is the program's, not the library's.
PAGE_FILES := index_html app_js style_css favicon_svg
SERVE_SRC  := $(if $(MHD),$(wildcard src/serve/*.c))
SERVE_OBJ  := $(SERVE_SRC:%.c=$(BUILD)/%.o) $(if $(MHD),$(PAGE_FILES:%=$(BUILD)/src/serve/page/%.o))
APP_OBJ    := $(APP_SRC:%.c=$(BUILD)/%.o) $(BUILD)/src/app/compare/page_css.o $(SERVE_OBJ)
LIB_OBJ   := $(LIB_SRC:%.c=$(BUILD)/%.o) $(foreach i,$(ISAS),$(ISA_SRC:%.isa.c=$(BUILD)/%.$(i).o)) \
  $(foreach i,$(ISAS) $(DOT_ISAS),$(DOT_SRC:%.isa.c=$(BUILD)/%.$(i).o))
# Only files that name the data directory are compiled again when PREFIX changes.
DATA_OBJ  := $(patsubst %.c,$(BUILD)/%.o,$(shell grep -ls GPT2Q_DATADIR $(LIB_SRC) $(APP_SRC)))

# ---- program and library -----------------------------------------------------------------------------------------
PRODUCTS  := gpt2q libgpt2q.a libgpt2q.so
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-print-directory
# V=1 shows commands in full.
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $@; )

.PHONY: all
all: $(if $(filter release,$(CONFIG)),$(PRODUCTS),$(PRODUCTS:%=$(BUILD)/%)) ## the program and the libraries, here

$(PRODUCTS): %: $(BUILD)/%
	@cp -f $< $@

# A change of the compiler, its flags or the data directory rebuilds; otherwise nothing is rebuilt.
$(BUILD)/flags: FORCE
	@tools/stamp $@ '$(subst ','\'',$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS))' || exit 0; \
	  tools/need-libraries $(CC) $(ALL_CFLAGS) || { rm -f $@; exit 1; }
$(BUILD)/datadir: FORCE
	@tools/stamp $@ '$(DATADIR)' || true
$(DATA_OBJ): $(BUILD)/datadir
$(DATA_OBJ): DATA_FLAGS = -DGPT2Q_DATADIR='"$(DATADIR)"'

# The style of compare's page is a file of its own; the program holds it as a string.
PAGE_CSS  := $(BUILD)/src/app/compare/page_css
$(PAGE_CSS).c: src/app/compare/page.css tools/embed-text
	@mkdir -p $(@D)
	@tools/embed-text page_css $< > $@
$(PAGE_CSS).o: $(PAGE_CSS).c $(BUILD)/flags
	$(call say,CC)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

# The page of the server, likewise: name_ext is name.ext.
define page_rule
$(BUILD)/src/serve/page/$(1).c: src/serve/page/$(subst _,.,$(1)) tools/embed-text
	@mkdir -p $$(@D)
	@tools/embed-text page_$(1) $$< > $$@
$(BUILD)/src/serve/page/$(1).o: $(BUILD)/src/serve/page/$(1).c $(BUILD)/flags
	$$(call say,CC)$$(CC) $$(ALL_CPPFLAGS) $$(ALL_CFLAGS) -c -o $$@ $$<
endef
$(foreach f,$(PAGE_FILES),$(eval $(call page_rule,$(f))))

# One file each says whether there is a server, and whether models can be fetched.
$(BUILD)/src/app/cmd_serve.o: DATA_FLAGS += $(if $(MHD),-DGPT2Q_SERVE)
$(BUILD)/src/app/pull/transfer.o: DATA_FLAGS += $(if $(CURL),-DGPT2Q_CURL $(shell $(PKG_CONFIG) --cflags libcurl))
$(SERVE_SRC:%.c=$(BUILD)/%.o): DATA_FLAGS += $(shell $(PKG_CONFIG) --cflags libmicrohttpd 2>/dev/null)
$(BUILD)/optional: FORCE
	@tools/stamp $@ '$(MHD) $(CURL)' || true
$(BUILD)/src/app/cmd_serve.o $(BUILD)/src/app/pull/transfer.o: $(BUILD)/optional

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(ALL_CPPFLAGS) $(DATA_FLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

define isa_rule
$(BUILD)/%.$(1).o: %.isa.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(call say,CC)$(CC) $(ALL_CPPFLAGS) -DGPT2Q_ISA=$(1) -DGPT2Q_ISA_$(1) $$(filter-out $(HARDEN),$(ALL_CFLAGS)) $(MFLAGS.$(1)) $(MOPT.$(CONFIG)) -MMD -MP -c -o $$@ $$<
endef
$(foreach i,$(ISAS) $(DOT_ISAS),$(eval $(call isa_rule,$(i))))

$(BUILD)/gpt2q: $(APP_OBJ) $(LIB_OBJ)
	$(call say,LINK)$(LINK) $(HARDEN_PIE) -o $@ $^ $(ALL_LIBS)
	@ln -sfn ../../models $(BUILD)/models # the default model lies beside the program
# One relocatable object. Private names are made local, so that a program that links the archive sees only gpt2q_*.
$(BUILD)/libgpt2q.a: $(LIB_OBJ)
	$(call say,AR)rm -f $@ && $(CC) -r -nostdlib -o $(BUILD)/gpt2q-all.o $^ && \
	  if [ $(UNAME_S) = Linux ]; then objcopy --wildcard --keep-global-symbol='gpt2q_*' $(BUILD)/gpt2q-all.o; fi && \
	  ar rcs $@ $(BUILD)/gpt2q-all.o
$(BUILD)/libgpt2q.so: $(LIB_OBJ)
	$(call say,LINK)$(LINK) -shared $(if $(filter Linux,$(UNAME_S)),-Wl$(comma)-soname$(comma)$(SONAME)) -o $@ $^ $(ALL_LIBS)

# ---- tests: tests/<kind>/test_*.c is one cmocka program each; tests/*.c is linked into all ------------------------
TEST_SRC    := $(wildcard $(foreach k,unit kernels golden cli $(if $(MHD),http),tests/$(k)/test_*.c))
TEST_BIN    := $(TEST_SRC:%.c=$(BUILD)/%)
TEST_SCRIPT := $(wildcard tests/cli/test_*.sh tests/cli/test_*.py tests/http/test_*.sh tests/http/test_*.py tests/torture/test_*.sh)
BENCH_BIN   := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/kernels/bench_*.c))
FUZZ_BIN    := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
FLIPS_BIN   := $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/tests/fuzz/flips_%,$(wildcard tests/fuzz/fuzz_*.c))
TORTURE_BIN := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/torture/test_*.c))
TORTURE_OBJ := $(BUILD)/tests/torture/main.o $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/torture/test_%,$(wildcard tests/torture/*.c)))
SUPPORT     := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/*.c))
PROGRAM     := $(if $(APP_SRC),$(BUILD)/gpt2q)

# A fuzz target with every cut and turned bit of its corpus instead of a fuzzer: any compiler.
$(FLIPS_BIN): $(BUILD)/tests/fuzz/flips_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/flips.o $(filter-out %/main.o,$(APP_OBJ)) $(LIB_OBJ)
	$(call say,LINK)$(LINK) -o $@ $^ $(ALL_LIBS)
$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(filter-out %/main.o,$(APP_OBJ)) $(LIB_OBJ)
	$(call say,LINK)$(LINK) -fsanitize=fuzzer -o $@ $^ $(ALL_LIBS)
# The torture programs call the program's main() in a child of theirs, as gpt2q_main.
$(BUILD)/tests/torture/main.o: src/app/main.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(ALL_CPPFLAGS) -Dmain=gpt2q_main $(ALL_CFLAGS) -Wno-missing-prototypes -MMD -MP -c -o $@ $<
$(TORTURE_BIN): $(BUILD)/tests/torture/%: $(BUILD)/tests/torture/%.o $(TORTURE_OBJ) $(SUPPORT) $(filter-out %/app/main.o,$(APP_OBJ)) $(LIB_OBJ)
	$(call say,LINK)$(LINK) -o $@ $^ $(CMOCKA_LIBS) $(ALL_LIBS)
# Its passes fail when it wants them to.
$(BUILD)/tests/http/test_renewal: LDFLAGS += -Wl,--wrap=gpt2q_scheduler_step
$(BUILD)/tests/http/%: $(BUILD)/tests/http/%.o $(SUPPORT) $(SERVE_OBJ) $(LIB_OBJ)
	$(call say,LINK)$(LINK) -o $@ $^ $(CMOCKA_LIBS) $(ALL_LIBS)
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(SUPPORT) $(LIB_OBJ)
	$(call say,LINK)$(LINK) -o $@ $^ $(CMOCKA_LIBS) $(ALL_LIBS)
$(TEST_BIN:=.o) $(BENCH_BIN:=.o) $(SUPPORT): | $(BUILD)/cmocka
$(BUILD)/cmocka: $(BUILD)/flags
	@tools/need-libraries --tests $(CC) $(ALL_CFLAGS) && touch $@

.PHONY: test test-load test-clients torture torture-minute test-long sweep test-build bench-kernels sanitize tsan tsan-http http-run fuzz fuzz-run
test-build: $(TEST_BIN) $(TORTURE_BIN) $(FLIPS_BIN) $(BENCH_BIN) $(PROGRAM)
test: test-build ## all tests; the last line counts them
	@CONFIG=$(CONFIG) BUILD=$(BUILD) GPT2Q=$(PROGRAM) CC='$(CC)' tools/run-tests $(TEST_BIN) $(TORTURE_BIN) $(FLIPS_BIN) $(TEST_SCRIPT)
test-long: ## all tests with all their rounds
	@GPT2Q_TEST_LONG=1 $(MAKE) test
test-load: $(PROGRAM) $(BUILD)/tests/http/bench_streams ## the server under load: mixed requests, clients that leave or dawdle, drains, proxies; minutes
	@GPT2Q_TEST_JOBS=1 PYTHONDONTWRITEBYTECODE=1 CONFIG=$(CONFIG) BUILD=$(BUILD) GPT2Q=$(PROGRAM) tools/run-tests $(wildcard tests/load/test_*.py)
test-clients: $(PROGRAM) ## real clients against the server, from PyPI, in an environment of their own
	@PYTHONDONTWRITEBYTECODE=1 CONFIG=$(CONFIG) BUILD=$(BUILD) GPT2Q=$(PROGRAM) tools/run-tests $(wildcard tests/clients/test_*.py)
sweep: $(BUILD)/tests/kernels/test_sweep ## SWEEP=100000 products of sampled shapes, every instruction set against scalar
	@GPT2Q_SWEEP=$(SWEEP) $<
torture: $(TORTURE_BIN) $(FLIPS_BIN) $(PROGRAM) ## every allocation, system call, cut and bit of the tests in tests/torture and tests/fuzz, half an hour
	@GPT2Q_TORTURE=all CONFIG=$(CONFIG) BUILD=$(BUILD) GPT2Q=$(PROGRAM) CC='$(CC)' tools/run-tests $(TORTURE_BIN) $(FLIPS_BIN) $(wildcard tests/torture/test_*.sh)
torture-minute: $(TORTURE_BIN) $(FLIPS_BIN) $(PROGRAM) ## a minute of it
	@GPT2Q_TORTURE=minute CONFIG=$(CONFIG) BUILD=$(BUILD) GPT2Q=$(PROGRAM) CC='$(CC)' tools/run-tests $(TORTURE_BIN) $(FLIPS_BIN)
bench-kernels: $(BENCH_BIN) ## time the kernels
	@for bench in $^; do echo "== $$bench"; $$bench || exit 1; done
sanitize: ## all tests with the address and undefined behaviour sanitizers
	@$(MAKE) CONFIG=sanitize test
# libomp is not instrumented, so its own work is not checked.
tsan: ## all tests with the thread sanitizer (clang)
	@TSAN_OPTIONS="ignore_noninstrumented_modules=1 die_after_fork=0 $$TSAN_OPTIONS" $(MAKE) CONFIG=tsan CC=clang test
tsan-http: ## the server's tests with the thread sanitizer (clang)
	@TSAN_OPTIONS="ignore_noninstrumented_modules=1 die_after_fork=0 $$TSAN_OPTIONS" $(MAKE) CONFIG=tsan CC=clang http-run
http-run: $(filter $(BUILD)/tests/http/% %/test_scheduler_load,$(TEST_BIN)) $(PROGRAM)
	@CONFIG=$(CONFIG) BUILD=$(BUILD) GPT2Q=$(PROGRAM) CC='$(CC)' tools/run-tests $(filter %/test_scheduler_load $(BUILD)/tests/http/%,$(TEST_BIN))
fuzz: ## each fuzzer of tests/fuzz for FUZZ_SECONDS (clang)
	@$(MAKE) CONFIG=fuzz CC=clang fuzz-run
fuzz-run: $(FUZZ_BIN)
	@tools/run-fuzzers $(FUZZ_SECONDS) $^

# ---- install -----------------------------------------------------------------------------------------------------
MODEL     := models/tales-7m
INSTALLED  = bin/gpt2q lib/libgpt2q.a lib/libgpt2q.so lib/$(SONAME) lib/libgpt2q.so.$(VERSION) include/gpt2q.h \
  lib/pkgconfig/gpt2q.pc share/man/man1/gpt2q.1 share/bash-completion/completions/gpt2q \
  share/zsh/site-functions/_gpt2q share/fish/vendor_completions.d/gpt2q.fish \
  $(patsubst %,share/gpt2q/%,$(wildcard $(MODEL)/*))
INTO       = $(DESTDIR)$(PREFIX)

.PHONY: install uninstall man
install: all man ## program, libraries, header, man page, completions and default model under DESTDIR PREFIX
	install -d $(INTO)/bin $(INTO)/lib/pkgconfig $(INTO)/include $(INTO)/share/gpt2q/$(MODEL)
	install -d $(INTO)/share/man/man1 $(INTO)/share/bash-completion/completions
	install -d $(INTO)/share/zsh/site-functions $(INTO)/share/fish/vendor_completions.d
	install -m 755 $(BUILD)/gpt2q $(INTO)/bin/gpt2q
	install -m 644 $(BUILD)/libgpt2q.a $(INTO)/lib/libgpt2q.a
	install -m 755 $(BUILD)/libgpt2q.so $(INTO)/lib/libgpt2q.so.$(VERSION)
	ln -sf libgpt2q.so.$(VERSION) $(INTO)/lib/$(SONAME)
	ln -sf $(SONAME) $(INTO)/lib/libgpt2q.so
	install -m 644 include/gpt2q.h $(INTO)/include/gpt2q.h
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|; s|@PKGS@|$(PKGS)|; s|@OPENMP@|$(OPENMP_LIB)|' \
	  tools/gpt2q.pc.in > $(INTO)/lib/pkgconfig/gpt2q.pc
	install -m 644 $(wildcard $(MODEL)/*) $(INTO)/share/gpt2q/$(MODEL)
	install -m 644 tools/completion.bash $(INTO)/share/bash-completion/completions/gpt2q
	install -m 644 tools/completion.zsh $(INTO)/share/zsh/site-functions/_gpt2q
	install -m 644 tools/completion.fish $(INTO)/share/fish/vendor_completions.d/gpt2q.fish
	if [ -s $(BUILD)/gpt2q.1 ]; then install -m 644 $(BUILD)/gpt2q.1 $(INTO)/share/man/man1/gpt2q.1; fi
uninstall: ## remove exactly what install put there
	rm -f $(INSTALLED:%=$(INTO)/%)
	-rmdir $(INTO)/share/gpt2q/$(MODEL) $(INTO)/share/gpt2q/models $(INTO)/share/gpt2q
man: $(BUILD)/gpt2q.1 ## the man page, build/release/gpt2q.1 (needs help2man)
# An empty page, made without help2man, is made again.
$(BUILD)/gpt2q.1: $(BUILD)/gpt2q tools/make-man $(if $(shell test -s $(BUILD)/gpt2q.1 || echo empty),FORCE)
	tools/make-man $(BUILD)/gpt2q $@

# ---- upkeep ------------------------------------------------------------------------------------------------------
.PHONY: layers format clean help FORCE
layers: ## check that a folder includes only folders above it
	@tools/layers
format: ## clang-format on all sources
	clang-format -i $(shell git ls-files '*.c' '*.h')
clean: ## remove build/ and the results
	rm -rf build $(PRODUCTS)
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo "Variables: CC CFLAGS LDFLAGS CONFIG PREFIX DESTDIR FUZZ_SECONDS SWEEP HARDEN; V=1 shows commands; CI=true makes warnings fatal."

-include $(LIB_OBJ:.o=.d) $(APP_OBJ:.o=.d) $(SERVE_OBJ:.o=.d) $(TEST_BIN:=.d) $(BENCH_BIN:=.d) $(FUZZ_BIN:=.d) $(TORTURE_BIN:=.d) $(TORTURE_OBJ:.o=.d) $(SUPPORT:.o=.d)
