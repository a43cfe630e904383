-- The tables that are read, of those that one-hub 387f8bf (2026-02-20, v0.14.27 and later) itself made on an
-- empty SQLite database: names, types and defaults; of the indexes those that decide or speed
-- up what is read.

CREATE TABLE `tokens` (
  `id` integer PRIMARY KEY AUTOINCREMENT,
  `user_id` integer,
  `key` varchar(59),
  `status` integer DEFAULT 1,
  `name` text,
  `created_time` integer,
  `accessed_time` integer,
  `expired_time` integer DEFAULT -1,
  `remain_quota` integer DEFAULT 0,
  `unlimited_quota` numeric DEFAULT false,
  `used_quota` integer DEFAULT 0,
  `group` text DEFAULT "",
  `backup_group` text DEFAULT "",
  `deleted_at` datetime,
  `setting` JSON
);
CREATE INDEX `idx_tokens_deleted_at` ON `tokens`(`deleted_at`);
CREATE INDEX `idx_tokens_name` ON `tokens`(`name`);
CREATE UNIQUE INDEX `idx_tokens_key` ON `tokens`(`key`);
CREATE TABLE `users` (
  `id` integer PRIMARY KEY AUTOINCREMENT,
  `username` text,
  `password` text NOT NULL,
  `display_name` text,
  `role` integer DEFAULT 1,
  `status` integer DEFAULT 1,
  `email` text,
  `avatar_url` varchar(500) DEFAULT "",
  `oidc_id` text,
  `github_id` text,
  `github_id_new` integer,
  `wechat_id` text,
  `telegram_id` integer DEFAULT 0,
  `lark_id` text,
  `access_token` char(32),
  `quota` integer DEFAULT 0,
  `used_quota` integer DEFAULT 0,
  `request_count` integer DEFAULT 0,
  `group` varchar(32) DEFAULT "default",
  `aff_code` varchar(32),
  `aff_count` integer DEFAULT 0,
  `aff_quota` integer DEFAULT 0,
  `aff_history` integer DEFAULT 0,
  `inviter_id` integer,
  `last_login_time` integer DEFAULT 0,
  `last_login_ip` varchar(128) DEFAULT "",
  `created_time` integer,
  `deleted_at` datetime,
  CONSTRAINT `uni_users_username` UNIQUE (`username`)
);
CREATE UNIQUE INDEX `idx_users_aff_code` ON `users`(`aff_code`);
CREATE UNIQUE INDEX `idx_users_access_token` ON `users`(`access_token`);
CREATE INDEX `idx_users_username` ON `users`(`username`);
CREATE TABLE `options` (
  `key` text,
  `value` text,
  PRIMARY KEY (`key`)
);
CREATE TABLE `redemptions` (
  `id` integer PRIMARY KEY AUTOINCREMENT,
  `user_id` integer,
  `key` char(32),
  `status` integer DEFAULT 1,
  `name` text,
  `quota` integer DEFAULT 100,
  `created_time` integer,
  `redeemed_time` integer
);
CREATE UNIQUE INDEX `idx_redemptions_key` ON `redemptions`(`key`);
CREATE TABLE `logs` (
  `id` integer PRIMARY KEY AUTOINCREMENT,
  `user_id` integer,
  `created_at` integer,
  `type` integer,
  `content` text,
  `username` text DEFAULT "",
  `token_name` text DEFAULT "",
  `model_name` text DEFAULT "",
  `quota` integer DEFAULT 0,
  `prompt_tokens` integer DEFAULT 0,
  `completion_tokens` integer DEFAULT 0,
  `channel_id` integer,
  `request_time` integer DEFAULT 0,
  `is_stream` numeric DEFAULT false,
  `source_ip` text DEFAULT "",
  `metadata` JSON
);
CREATE INDEX `idx_logs_channel_id` ON `logs`(`channel_id`);
CREATE INDEX `idx_logs_model_name` ON `logs`(`model_name`);
CREATE INDEX `idx_logs_token_name` ON `logs`(`token_name`);
CREATE INDEX `index_username_model_name` ON `logs`(`model_name`,`username`);
CREATE INDEX `idx_created_at_type` ON `logs`(`created_at`,`type`);
CREATE INDEX `idx_logs_user_id` ON `logs`(`user_id`);
CREATE TABLE `statistics` (
  `date` date,
  `user_id` integer,
  `channel_id` integer,
  `model_name` varchar(255),
  `request_count` integer,
  `quota` integer,
  `prompt_tokens` integer,
  `completion_tokens` integer,
  `request_time` integer,
  PRIMARY KEY (`date`,`user_id`,`channel_id`,`model_name`)
);
CREATE TABLE `user_groups` (
  `id` integer PRIMARY KEY AUTOINCREMENT,
  `symbol` varchar(50),
  `name` varchar(50),
  `ratio` decimal(10,2) DEFAULT 1,
  `api_rate` integer DEFAULT 600,
  `public` numeric DEFAULT false,
  `promotion` numeric DEFAULT false,
  `min` integer DEFAULT 0,
  `max` integer DEFAULT 0,
  `enable` numeric DEFAULT true
);
CREATE UNIQUE INDEX `idx_user_groups_symbol` ON `user_groups`(`symbol`);
