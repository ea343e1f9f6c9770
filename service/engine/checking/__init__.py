"""Where structure checks run: in a process of their own, or in threads of this one."""

from service.engine.checking.place import CheckPlace, Finding
from service.engine.checking.process import InProcess
from service.engine.checking.threads import InThreads

__all__ = ["CheckPlace", "Finding", "InProcess", "InThreads"]
