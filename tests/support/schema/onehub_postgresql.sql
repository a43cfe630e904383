-- The tables that are read, of those that one-hub 387f8bf (2026-02-20, v0.14.27 and later) itself made on an
-- empty PostgreSQL 15 database: names, types and defaults; of the indexes those that decide or speed
-- up what is read.

CREATE TABLE logs (
    id bigserial NOT NULL,
    user_id bigint,
    created_at bigint,
    type bigint,
    content text,
    username text DEFAULT '',
    token_name text DEFAULT '',
    model_name text DEFAULT '',
    quota bigint DEFAULT 0,
    prompt_tokens bigint DEFAULT 0,
    completion_tokens bigint DEFAULT 0,
    channel_id bigint,
    request_time bigint DEFAULT 0,
    is_stream boolean DEFAULT false,
    source_ip text DEFAULT '',
    metadata jsonb,
    CONSTRAINT logs_pkey PRIMARY KEY (id)
);
CREATE INDEX idx_created_at_type ON logs (created_at, type);
CREATE INDEX idx_logs_channel_id ON logs (channel_id);
CREATE INDEX idx_logs_model_name ON logs (model_name);
CREATE INDEX idx_logs_token_name ON logs (token_name);
CREATE INDEX idx_logs_user_id ON logs (user_id);
CREATE INDEX index_username_model_name ON logs (model_name, username);
CREATE TABLE options (
    key text NOT NULL,
    value text,
    CONSTRAINT options_pkey PRIMARY KEY (key)
);
CREATE TABLE redemptions (
    id bigserial NOT NULL,
    user_id bigint,
    key character(32),
    status bigint DEFAULT 1,
    name text,
    quota bigint DEFAULT 100,
    created_time bigint,
    redeemed_time bigint,
    CONSTRAINT redemptions_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX idx_redemptions_key ON redemptions (key);
CREATE TABLE statistics (
    date date NOT NULL,
    user_id bigint NOT NULL,
    channel_id bigint NOT NULL,
    model_name character varying(255) NOT NULL,
    request_count bigint,
    quota bigint,
    prompt_tokens bigint,
    completion_tokens bigint,
    request_time bigint,
    CONSTRAINT statistics_pkey PRIMARY KEY (date, user_id, channel_id, model_name)
);
CREATE TABLE tokens (
    id bigserial NOT NULL,
    user_id bigint,
    key character varying(59),
    status bigint DEFAULT 1,
    name text,
    created_time bigint,
    accessed_time bigint,
    expired_time bigint DEFAULT '-1'::integer,
    remain_quota bigint DEFAULT 0,
    unlimited_quota boolean DEFAULT false,
    used_quota bigint DEFAULT 0,
    "group" text DEFAULT '',
    backup_group text DEFAULT '',
    deleted_at timestamp with time zone,
    setting jsonb,
    CONSTRAINT tokens_pkey PRIMARY KEY (id)
);
CREATE INDEX idx_tokens_deleted_at ON tokens (deleted_at);
CREATE UNIQUE INDEX idx_tokens_key ON tokens (key);
CREATE INDEX idx_tokens_name ON tokens (name);
CREATE TABLE user_groups (
    id bigserial NOT NULL,
    symbol character varying(50),
    name character varying(50),
    ratio numeric(10,2) DEFAULT 1,
    api_rate bigint DEFAULT 600,
    public boolean DEFAULT false,
    promotion boolean DEFAULT false,
    min bigint DEFAULT 0,
    max bigint DEFAULT 0,
    enable boolean DEFAULT true,
    CONSTRAINT user_groups_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX idx_user_groups_symbol ON user_groups (symbol);
CREATE TABLE users (
    id bigserial NOT NULL,
    username text,
    password text NOT NULL,
    display_name text,
    role bigint DEFAULT 1,
    status bigint DEFAULT 1,
    email text,
    avatar_url character varying(500) DEFAULT '',
    oidc_id text,
    github_id text,
    github_id_new bigint,
    wechat_id text,
    telegram_id bigint DEFAULT 0,
    lark_id text,
    access_token character(32),
    quota bigint DEFAULT 0,
    used_quota bigint DEFAULT 0,
    request_count bigint DEFAULT 0,
    "group" character varying(32) DEFAULT 'default',
    aff_code character varying(32),
    aff_count bigint DEFAULT 0,
    aff_quota bigint DEFAULT 0,
    aff_history bigint DEFAULT 0,
    inviter_id bigint,
    last_login_time bigint DEFAULT 0,
    last_login_ip character varying(128) DEFAULT '',
    created_time bigint,
    deleted_at timestamp with time zone,
    CONSTRAINT uni_users_username UNIQUE (username),
    CONSTRAINT users_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX idx_users_access_token ON users (access_token);
CREATE UNIQUE INDEX idx_users_aff_code ON users (aff_code);
CREATE INDEX idx_users_username ON users (username);
