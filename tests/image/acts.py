"""What a person does at the serial console, in every scenario, and what is seen from outside."""

import time

from lab import SLOWNESS, Wrong
from letters import PASSPHRASE

MENU = r"Menu \(Enter lists it\): "


def login(box):
    """A person logs in at the serial console, who waits for the prompt that comes by Enter."""
    box.console.skip()
    box.console.type("")
    box.console.answer(r"l: log in[^\n]*: ", "l", 60 * SLOWNESS)
    box.console.answer(r"Passphrase \(Enter goes back\): ", PASSPHRASE, 60 * SLOWNESS)


def look(box):
    """The screen that everybody sees."""
    box.console.skip()
    box.console.type("")
    return box.console.expect(r"!: stop all mail: ", 60 * SLOWNESS)


def status(lab, box, name):
    """Keeps the screen that everybody sees."""
    lab.keep(name, look(box))


def power_button(lab, box):
    """By the button: the host role hears it and ends everything in order."""
    began = time.monotonic()
    if not box.power_button(60):
        raise Wrong("the box does not listen to its power button")
    lab.say(f"off by the button after {time.monotonic() - began:.1f} s")


def power_off(lab, box):
    """By the menu of the console."""
    login(box)
    lab.keep("menu", box.console.answer(MENU, "power-off", 60 * SLOWNESS))
    lab.keep("power-off", box.console.answer(r"Type power off [^\n]*: ", "power off", 60 * SLOWNESS))
    began = time.monotonic()
    if not box.wait_off(60):
        raise Wrong("the box does not switch itself off")
    lab.say(f"off after {time.monotonic() - began:.1f} s")


def listens(lab, seconds):
    """Whether intake answers within that time."""
    try:
        lab.wait_listening("listening", seconds)
    except TimeoutError:
        return False
    return True
