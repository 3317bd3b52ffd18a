CREATE TABLE wr_task (
  id text COLLATE "C" NOT NULL, run bigint NOT NULL, seq bigint NOT NULL, queue text NOT NULL,
  url text NOT NULL, method text NOT NULL, state text NOT NULL, attempt bigint NOT NULL,
  created_at double precision NOT NULL, due_at double precision NOT NULL,
  changed_at double precision NOT NULL, fingerprint bytea NOT NULL, kind text NOT NULL,
  origin text NOT NULL, reason text NOT NULL, started_at double precision,
  ended_at double precision, last_status bigint, last_error text NOT NULL,
  eta double precision, expires double precision, max_retries bigint, roll_back text NOT NULL,
  rollback text, metadata bytea, correlation_id text NOT NULL, traceparent text NOT NULL,
  source bytea, progress bytea,
  PRIMARY KEY (id, run));
CREATE INDEX wr_task_created ON wr_task (created_at DESC, id, run);
CREATE INDEX wr_task_ended ON wr_task (ended_at, id, run) WHERE ended_at IS NOT NULL;
CREATE INDEX wr_task_unusual ON wr_task (state, created_at DESC, id, run, queue)
  WHERE state <> 'succeeded';

CREATE TABLE wr_attempt (
  id text COLLATE "C" NOT NULL, run bigint NOT NULL, seq bigint NOT NULL, attempt bigint NOT NULL,
  started_at double precision NOT NULL, ended_at double precision NOT NULL,
  outcome text NOT NULL, status bigint, error text NOT NULL, detail text NOT NULL,
  headers text NOT NULL, body bytea NOT NULL, truncated boolean NOT NULL,
  PRIMARY KEY (id, run, seq));

-- What became of a roll-back may be told before its task is.
CREATE TABLE wr_rollback (
  id text COLLATE "C" NOT NULL, run bigint NOT NULL, state text NOT NULL,
  PRIMARY KEY (id, run));

CREATE TABLE wr_claim (
  key text COLLATE "C" PRIMARY KEY, id text NOT NULL, run bigint NOT NULL,
  fingerprint bytea NOT NULL, until double precision NOT NULL, kept boolean NOT NULL);
CREATE INDEX wr_claim_until ON wr_claim (until);
