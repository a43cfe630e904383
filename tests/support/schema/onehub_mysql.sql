-- The tables that are read, of those that one-hub 387f8bf (2026-02-20, v0.14.27 and later) itself made on an
-- empty MariaDB database: names, types and defaults; of the indexes those that decide or speed
-- up what is read.
-- `json` is JSON on MySQL, and longtext with a check on MariaDB.

CREATE TABLE `logs` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `user_id` bigint DEFAULT NULL,
  `created_at` bigint DEFAULT NULL,
  `type` bigint DEFAULT NULL,
  `content` longtext DEFAULT NULL,
  `username` varchar(191) DEFAULT '',
  `token_name` varchar(191) DEFAULT '',
  `model_name` varchar(191) DEFAULT '',
  `quota` bigint DEFAULT 0,
  `prompt_tokens` bigint DEFAULT 0,
  `completion_tokens` bigint DEFAULT 0,
  `channel_id` bigint DEFAULT NULL,
  `request_time` bigint DEFAULT 0,
  `is_stream` tinyint(1) DEFAULT 0,
  `source_ip` varchar(191) DEFAULT '',
  `metadata` json DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `idx_logs_user_id` (`user_id`),
  KEY `idx_created_at_type` (`created_at`,`type`),
  KEY `index_username_model_name` (`model_name`,`username`),
  KEY `idx_logs_token_name` (`token_name`),
  KEY `idx_logs_model_name` (`model_name`),
  KEY `idx_logs_channel_id` (`channel_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `options` (
  `key` varchar(191) NOT NULL,
  `value` longtext DEFAULT NULL,
  PRIMARY KEY (`key`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `redemptions` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `user_id` bigint DEFAULT NULL,
  `key` char(32) DEFAULT NULL,
  `status` bigint DEFAULT 1,
  `name` varchar(191) DEFAULT NULL,
  `quota` bigint DEFAULT 100,
  `created_time` bigint DEFAULT NULL,
  `redeemed_time` bigint DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `idx_redemptions_key` (`key`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `statistics` (
  `date` date NOT NULL,
  `user_id` bigint NOT NULL,
  `channel_id` bigint NOT NULL,
  `model_name` varchar(255) NOT NULL,
  `request_count` bigint DEFAULT NULL,
  `quota` bigint DEFAULT NULL,
  `prompt_tokens` bigint DEFAULT NULL,
  `completion_tokens` bigint DEFAULT NULL,
  `request_time` bigint DEFAULT NULL,
  PRIMARY KEY (`date`,`user_id`,`channel_id`,`model_name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `tokens` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `user_id` bigint DEFAULT NULL,
  `key` varchar(59) DEFAULT NULL,
  `status` bigint DEFAULT 1,
  `name` varchar(191) DEFAULT NULL,
  `created_time` bigint DEFAULT NULL,
  `accessed_time` bigint DEFAULT NULL,
  `expired_time` bigint DEFAULT -1,
  `remain_quota` bigint DEFAULT 0,
  `unlimited_quota` tinyint(1) DEFAULT 0,
  `used_quota` bigint DEFAULT 0,
  `group` varchar(191) DEFAULT '',
  `backup_group` varchar(191) DEFAULT '',
  `deleted_at` datetime(3) DEFAULT NULL,
  `setting` json DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `idx_tokens_key` (`key`),
  KEY `idx_tokens_name` (`name`),
  KEY `idx_tokens_deleted_at` (`deleted_at`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `user_groups` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `symbol` varchar(50) DEFAULT NULL,
  `name` varchar(50) DEFAULT NULL,
  `ratio` decimal(10,2) DEFAULT 1.00,
  `api_rate` bigint DEFAULT 600,
  `public` tinyint(1) DEFAULT 0,
  `promotion` tinyint(1) DEFAULT 0,
  `min` bigint DEFAULT 0,
  `max` bigint DEFAULT 0,
  `enable` tinyint(1) DEFAULT 1,
  PRIMARY KEY (`id`),
  UNIQUE KEY `idx_user_groups_symbol` (`symbol`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `users` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `username` varchar(191) DEFAULT NULL,
  `password` longtext NOT NULL,
  `display_name` varchar(191) DEFAULT NULL,
  `role` bigint DEFAULT 1,
  `status` bigint DEFAULT 1,
  `email` varchar(191) DEFAULT NULL,
  `avatar_url` varchar(500) DEFAULT '',
  `oidc_id` varchar(191) DEFAULT NULL,
  `github_id` varchar(191) DEFAULT NULL,
  `github_id_new` bigint DEFAULT NULL,
  `wechat_id` varchar(191) DEFAULT NULL,
  `telegram_id` bigint DEFAULT 0,
  `lark_id` varchar(191) DEFAULT NULL,
  `access_token` char(32) DEFAULT NULL,
  `quota` bigint DEFAULT 0,
  `used_quota` bigint DEFAULT 0,
  `request_count` bigint DEFAULT 0,
  `group` varchar(32) DEFAULT 'default',
  `aff_code` varchar(32) DEFAULT NULL,
  `aff_count` bigint DEFAULT 0,
  `aff_quota` bigint DEFAULT 0,
  `aff_history` bigint DEFAULT 0,
  `inviter_id` bigint DEFAULT NULL,
  `last_login_time` bigint DEFAULT 0,
  `last_login_ip` varchar(128) DEFAULT '',
  `created_time` bigint DEFAULT NULL,
  `deleted_at` datetime(3) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `idx_users_access_token` (`access_token`),
  UNIQUE KEY `idx_users_aff_code` (`aff_code`),
  UNIQUE KEY `uni_users_username` (`username`),
  KEY `idx_users_username` (`username`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
