CREATE TABLE wr_task (
  id TEXT NOT NULL, run INTEGER NOT NULL, seq INTEGER NOT NULL, queue TEXT NOT NULL,
  url TEXT NOT NULL, method TEXT NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL,
  created_at REAL NOT NULL, due_at REAL NOT NULL, changed_at REAL NOT NULL,
  fingerprint BLOB NOT NULL, kind TEXT NOT NULL, origin TEXT NOT NULL, reason TEXT NOT NULL,
  started_at REAL, ended_at REAL, last_status INTEGER, last_error TEXT NOT NULL,
  eta REAL, expires REAL, max_retries INTEGER, roll_back TEXT NOT NULL, rollback TEXT,
  metadata BLOB, correlation_id TEXT NOT NULL, traceparent TEXT NOT NULL,
  source BLOB, progress BLOB);
CREATE UNIQUE INDEX wr_task_key ON wr_task (id, run);
CREATE INDEX wr_task_created ON wr_task (created_at DESC, id, run);
CREATE INDEX wr_task_ended ON wr_task (ended_at, id, run) WHERE ended_at IS NOT NULL;
CREATE INDEX wr_task_unusual ON wr_task (state, created_at DESC, id, run, queue)
  WHERE state <> 'succeeded';

-- The source of a task whose row would be rewritten at a price with each change.
CREATE TABLE wr_large (
  id TEXT NOT NULL, run INTEGER NOT NULL, source BLOB NOT NULL, PRIMARY KEY (id, run));

CREATE TABLE wr_attempt (
  id TEXT NOT NULL, run INTEGER NOT NULL, seq INTEGER NOT NULL, attempt INTEGER NOT NULL,
  started_at REAL NOT NULL, ended_at REAL NOT NULL, outcome TEXT NOT NULL, status INTEGER,
  error TEXT NOT NULL, detail TEXT NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL,
  truncated INTEGER NOT NULL,
  PRIMARY KEY (id, run, seq)) WITHOUT ROWID;

-- What became of a roll-back may be told before its task is.
CREATE TABLE wr_rollback (
  id TEXT NOT NULL, run INTEGER NOT NULL, state TEXT NOT NULL,
  PRIMARY KEY (id, run)) WITHOUT ROWID;

CREATE TABLE wr_claim (
  key TEXT PRIMARY KEY, id TEXT NOT NULL, run INTEGER NOT NULL, fingerprint BLOB NOT NULL,
  until REAL NOT NULL, kept INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX wr_claim_until ON wr_claim (until);
