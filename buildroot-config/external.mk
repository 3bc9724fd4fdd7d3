include $(sort $(wildcard $(BR2_EXTERNAL_POSTERN_PATH)/package/*/*.mk))

# Buildroot offers systemd-boot on x86 only, although systemd builds it for aarch64 as well. The
# appliance needs the loader (boot counting) and the stub (unified kernel image) on both.
ifeq ($(BR2_aarch64)$(BR2_PACKAGE_POSTERN),yy)
SYSTEMD_CONF_OPTS += -Dbootloader=enabled -Defi=true
$(SYSTEMD_TARGET_CONFIGURE): | host-python-pyelftools
endif
