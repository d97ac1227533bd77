# gpt2q: make help
# Objects live under build/<configuration>/; CONFIG names the configuration (release, sanitize, tsan, ...).
VERSION   := 0.1.0
CC        ?= cc
CONFIG    ?= release
PREFIX    ?= /usr/local
DESTDIR   ?=
PKGS      := libcjson libutf8proc
BUILD     := build/$(CONFIG)
UNAME_M   := $(shell uname -m)
UNAME_S   := $(shell uname -s)

PKG_CONFIG ?= pkg-config
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null || echo -lcjson -lutf8proc)
OPENMP     ?= -fopenmp

WARN      := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
WERROR    ?= $(if $(CI),-Werror)
OPT.release  := -O3 -g
OPT.sanitize := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT.tsan     := -O1 -g -fsanitize=thread
OPT.fuzz     := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
OPT       := $(or $(OPT.$(CONFIG)),$(OPT.release))
SANITIZE  := $(filter -fsanitize=%,$(OPT:-fsanitize=fuzzer-no-link%=-fsanitize=%))
CPPFLAGS  += -D_GNU_SOURCE -DGPT2Q_VERSION_STRING='"$(VERSION)"' -DGPT2Q_DATADIR='"$(PREFIX)/share/gpt2q"' -Iinclude -Isrc -I.
# -ffp-contract=off comes last and in every rule: the bits of a result depend on it (ARCHITECTURE.md, "The same bits").
BITS      := -ffp-contract=off -fno-fast-math
ALL_CFLAGS = -std=c11 $(WARN) $(WERROR) $(OPT) -fPIC -fvisibility=hidden $(OPENMP) $(PKG_CFLAGS) $(CFLAGS) $(BITS)
LDLIBS    += $(PKG_LIBS) -lm
LINK      = $(CC) $(ALL_CFLAGS) $(LDFLAGS)

# ---- sources: a folder is a layer; kernels/ and quant/ hold files compiled once per instruction set (*.isa.c) ----
LIB_DIRS  := src/base src/kernels src/quant tokenizer src/model src/engine src/quantize
ISA_SRC   := $(wildcard src/kernels/*.isa.c src/quant/*.isa.c)
LIB_SRC   := $(filter-out %.isa.c,$(foreach d,$(LIB_DIRS),$(wildcard $(d)/*.c)))
APP_SRC   := $(wildcard src/app/*.c)
ISAS      := scalar
ifneq ($(filter x86_64 amd64,$(UNAME_M)),)
ISAS      += avx2 avx512 avx512vnni
endif
MFLAGS.scalar :=
MFLAGS.avx2   := -mavx2 -mfma -mf16c
MFLAGS.avx512 := $(MFLAGS.avx2) -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512
MFLAGS.avx512vnni := $(MFLAGS.avx512) -mavx512vnni

LIB_OBJ   := $(LIB_SRC:%.c=$(BUILD)/%.o)
ISA_OBJ   := $(foreach i,$(ISAS),$(ISA_SRC:%.isa.c=$(BUILD)/%.$(i).o))
APP_OBJ   := $(APP_SRC:%.c=$(BUILD)/%.o)
ALL_LIB   := $(LIB_OBJ) $(ISA_OBJ)

.PHONY: all
all: gpt2q libgpt2q.a libgpt2q.so

# The flags are part of what an object depends on: a changed compiler or flag rebuilds, an unchanged one does not.
FLAGS_NOW := $(CC) $(ALL_CFLAGS) $(CPPFLAGS) $(VERSION)
$(BUILD)/flags: FORCE
	@mkdir -p $(BUILD); printf '%s\n' "$(subst ",\",$(FLAGS_NOW))" | cmp -s - $@ || printf '%s\n' "$(subst ",\",$(FLAGS_NOW))" > $@
.PHONY: FORCE

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

define isa_rule
$(BUILD)/%.$(1).o: %.isa.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$(CC) $(CPPFLAGS) -DGPT2Q_ISA=$(1) -DGPT2Q_ISA_$(1) $(ALL_CFLAGS) $(MFLAGS.$(1)) -MMD -MP -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(eval $(call isa_rule,$(i))))

$(BUILD)/gpt2q: $(APP_OBJ) $(ALL_LIB)
	$(LINK) -o $@ $^ $(LDLIBS)
gpt2q: $(BUILD)/gpt2q
	@cp -f $< $@
# One relocatable object with the private names made local, so that a program linked with the archive meets only gpt2q_*.
libgpt2q.a: $(ALL_LIB)
	@rm -f $@ $(BUILD)/gpt2q-all.o
	$(CC) -r -nostdlib -o $(BUILD)/gpt2q-all.o $^
	@if [ "$(UNAME_S)" = Linux ]; then objcopy --wildcard --keep-global-symbol='gpt2q_*' $(BUILD)/gpt2q-all.o; fi
	ar rcs $@ $(BUILD)/gpt2q-all.o
libgpt2q.so: $(ALL_LIB)
	$(LINK) -shared $(if $(filter Linux,$(UNAME_S)),-Wl$(comma)-soname$(comma)libgpt2q.so.0) -o $@ $^ $(LDLIBS)
comma := ,

-include $(ALL_LIB:.o=.d) $(APP_OBJ:.o=.d)

# ---- tests: tests/<kind>/test_*.c is one cmocka program each; tests/support.c is linked into all ----
TEST_KINDS := unit kernels golden cli
TEST_SRC   := $(foreach k,$(TEST_KINDS),$(wildcard tests/$(k)/test_*.c))
TEST_BIN   := $(TEST_SRC:%.c=$(BUILD)/%)
SUPPORT    := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/*.c))
-include $(TEST_BIN:=.d) $(SUPPORT:.o=.d)

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(SUPPORT) $(ALL_LIB)
	$(LINK) -o $@ $^ $(shell $(PKG_CONFIG) --libs cmocka 2>/dev/null || echo -lcmocka) $(LDLIBS)
.PRECIOUS: $(BUILD)/tests/%.o
.PHONY: test-build
test-build: $(TEST_BIN)
