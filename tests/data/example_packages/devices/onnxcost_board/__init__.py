"""The devices of our boards, one TOML file each."""

from importlib.resources import files

DEVICES = files(__name__)
