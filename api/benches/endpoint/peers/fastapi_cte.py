"""The endpoint in FastAPI and asyncpg, one statement for each request."""

import json
import os
import time
import uuid
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import asyncpg
from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

# Connections of each worker process.
POOL = 16

MOVE = (Path(__file__).parent / "move.sql").read_text()


class Call(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sessionId: str = Field(min_length=1, max_length=32)
    archiveHistory: Literal[1]


@asynccontextmanager
async def lifespan(app):
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=POOL, max_size=POOL) as app.state.pool:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/rest/isales/v1/openapi/campaigns/{vdn}/calldata/{campaign}/delete")
async def delete(vdn: int, campaign: int, call: Call, request: Request):
    # Ids ordered by time, and different in each worker: no two requests of a worker start in the same microsecond.
    run_id = time.time_ns() & ~1023 | os.getpid() & 1023
    criteria = json.dumps({"sessionId": call.sessionId})
    deleted = await app.state.pool.fetchval(
        MOVE, campaign, call.sessionId, vdn, run_id, criteria, uuid.uuid4().hex, request.client.host
    )
    return {
        "resultCode": "0200000",
        "resultDesc": "",
        "returnCode": "0200000",
        "returnDesc": "",
        "successCount": deleted,
    }
