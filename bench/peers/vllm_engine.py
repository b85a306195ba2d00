"""vLLM on the CPU, over HTTP: an opt-in, because its wheel does not install from the index alone. The
caller names a Python that can import it and a folder of safetensors for each model."""
from pathlib import Path

from engine import NotRun, ServerSession, Session, StartSession, free_port
from machine import cpu_flags


def serve_command(context, folder, port) -> list:
    return [context.vllm_python, "-m", "vllm.entrypoints.openai.api_server", "--model", folder,
            "--served-model-name", "m", "--host", "127.0.0.1", "--port", port,
            "--max-model-len", 2048, "--no-enable-prefix-caching"]


class Vllm:
    name = "vllm"

    def open(self, context, model, job) -> Session:
        if not context.vllm_python:
            raise NotRun("an opt-in (--with-vllm)")
        if "avx512f" not in cpu_flags():
            raise NotRun("its CPU kernels need AVX-512 to mean anything, and this CPU has none")
        folder = context.vllm_models.get(job.model)
        if not folder or not Path(folder).is_dir():
            raise NotRun(f"no --vllm-model {job.model}=FOLDER")
        if job.way == "start":
            return StartSession(job, lambda port: serve_command(context, folder, port))
        port = free_port()
        environment = {"VLLM_CPU_NUM_OF_RESERVED_CPU": "0", "OMP_NUM_THREADS": str(context.threads)}
        return ServerSession(context, job, serve_command(context, folder, port), port,
                             extra={"model": "m"}, env=environment)
