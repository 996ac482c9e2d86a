from .platform import *
