################################################################################
#
# postern-rust
#
################################################################################

POSTERN_RUST_VERSION = 1.96.1
# Where Buildroot gets its own compiler.
POSTERN_RUST_SITE = $(RUST_BIN_SITE)
POSTERN_RUST_LICENSE = Apache-2.0 or MIT
POSTERN_RUST_LICENSE_FILES = LICENSE-APACHE LICENSE-MIT

HOST_POSTERN_RUST_SOURCE = rust-$(POSTERN_RUST_VERSION)-$(RUSTC_HOST_NAME).tar.xz

# The archive of the host has the library of the host; a target of another kind needs its own.
ifneq ($(RUSTC_HOST_NAME),$(RUSTC_TARGET_NAME))
HOST_POSTERN_RUST_STD = rust-std-$(POSTERN_RUST_VERSION)-$(RUSTC_TARGET_NAME)
HOST_POSTERN_RUST_EXTRA_DOWNLOADS = $(HOST_POSTERN_RUST_STD).tar.xz

define HOST_POSTERN_RUST_EXTRACT_STD
	$(call suitable-extractor,$(HOST_POSTERN_RUST_STD).tar.xz) \
		$(HOST_POSTERN_RUST_DL_DIR)/$(HOST_POSTERN_RUST_STD).tar.xz | \
		$(TAR) -C $(@D) $(TAR_OPTIONS) -
endef
HOST_POSTERN_RUST_POST_EXTRACT_HOOKS += HOST_POSTERN_RUST_EXTRACT_STD

define HOST_POSTERN_RUST_INSTALL_STD
	cd $(@D)/$(HOST_POSTERN_RUST_STD) && ./install.sh \
		--prefix=$(HOST_POSTERN_RUST_PREFIX) --disable-ldconfig
endef
endif

# A prefix of its own: the compiler that Buildroot's packages see stays the one it was tested with.
HOST_POSTERN_RUST_PREFIX = $(HOST_DIR)/opt/postern-rust

define HOST_POSTERN_RUST_INSTALL_CMDS
	cd $(@D) && ./install.sh \
		--prefix=$(HOST_POSTERN_RUST_PREFIX) --disable-ldconfig \
		--components=rustc,cargo,rust-std-$(RUSTC_HOST_NAME)
	$(HOST_POSTERN_RUST_INSTALL_STD)
endef

$(eval $(host-generic-package))
