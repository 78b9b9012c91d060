// The endpoint in Express and pg, one statement for each request.
"use strict";

const { randomUUID } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const express = require("express");
const { Pool } = require("pg");

const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 32 });

// pg prepares a statement that has a name.
const MOVE = { name: "move", text: readFileSync(join(__dirname, "move.sql"), "utf8") };

// Ids ordered by time.
let lastRun = BigInt(Date.now()) << 20n;

const app = express();
app.use(express.json());
app.post("/rest/isales/v1/openapi/campaigns/:vdn/calldata/:campaign/delete", async (request, response) => {
  const { sessionId, archiveHistory, ...others } = request.body;
  const isText = typeof sessionId === "string" && sessionId.length >= 1 && sessionId.length <= 32;
  if (!isText || archiveHistory !== 1 || Object.keys(others).length > 0) {
    return response.status(400).end();
  }
  lastRun += 1n;
  const { rows } = await pool.query({
    ...MOVE,
    values: [
      request.params.campaign,
      sessionId,
      request.params.vdn,
      lastRun,
      JSON.stringify({ sessionId }),
      randomUUID().replaceAll("-", ""),
      request.ip,
    ],
  });
  response.json({
    resultCode: "0200000",
    resultDesc: "",
    returnCode: "0200000",
    returnDesc: "",
    successCount: Number(rows[0].deleted),
  });
});

const server = app.listen(Number(process.env.PORT), "127.0.0.1", () => console.log("startup complete"));
process.on("SIGTERM", () => {
  server.close(() => pool.end());
  server.closeAllConnections();
});
