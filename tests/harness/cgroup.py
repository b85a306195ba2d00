"""Control groups of a test's own, v1 or v2, where this machine lets us make any."""
import os
import pathlib

ROOT = pathlib.Path("/sys/fs/cgroup")


def _own_path(controller):
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(",") or (controller == "" and names == ""):
            return path.lstrip("/")
    return ""


class Cgroup:
    """A group for one controller ("cpu" or "memory"). `Cgroup.make` gives None where it cannot be."""

    def __init__(self, folder, version):
        self.folder, self.version = folder, version

    @classmethod
    def make(cls, controller):
        for base, version in ((ROOT / controller / _own_path(controller), 1),
                              (ROOT / controller, 1), (ROOT / _own_path(""), 2), (ROOT, 2)):
            if version == 2:
                try:
                    if controller not in (base / "cgroup.subtree_control").read_text().split():
                        continue
                except OSError:
                    continue
            folder = base / f"pelton_test_{os.getpid()}"
            try:
                folder.mkdir()
            except OSError:
                continue
            group = cls(folder, version)
            probe = {("cpu", 1): "cpu.cfs_quota_us", ("cpu", 2): "cpu.max",
                     ("memory", 1): "memory.limit_in_bytes", ("memory", 2): "memory.max"}
            if os.access(folder / probe[controller, version], os.W_OK):
                return group
            group.remove()
        return None

    def read(self, name):
        return (self.folder / name).read_text()

    def write(self, name, value):
        (self.folder / name).write_text(str(value))

    def enter(self):
        """For preexec_fn: the new process is a member before it runs."""
        self.write("cgroup.procs", os.getpid())

    def set_quota(self, cpus):
        period = 100_000
        if self.version == 1:
            self.write("cpu.cfs_period_us", period)
            self.write("cpu.cfs_quota_us", -1 if cpus is None else int(cpus * period))
        else:
            self.write("cpu.max", f"{'max' if cpus is None else int(cpus * period)} {period}")

    def set_memory(self, limit_bytes):
        self.write("memory.limit_in_bytes" if self.version == 1 else "memory.max", limit_bytes)

    def oom_kills(self):
        text = self.read("memory.oom_control" if self.version == 1 else "memory.events")
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))

    def peak_bytes(self):
        return int(self.read("memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"))

    def remove(self):
        try:
            self.folder.rmdir()
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()
