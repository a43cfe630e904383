-- What release 1.0.0 made on MariaDB, with a user, a token and two uses.
CREATE TABLE `billing_schema` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `version` int(11) NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT INTO billing_schema VALUES (1, 1);
CREATE TABLE `users` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `username` varchar(64) NOT NULL,
  `status` bigint(20) NOT NULL,
  `access_token` varchar(64) NOT NULL,
  `quota` bigint(20) NOT NULL,
  `used_quota` bigint(20) NOT NULL,
  `request_count` bigint(20) NOT NULL,
  `created_at` bigint(20) NOT NULL,
  `deleted_at` datetime DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `user_username` (`username`),
  UNIQUE KEY `user_access_token` (`access_token`),
  KEY `user_deleted_at` (`deleted_at`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT INTO users VALUES (1, 'alice', 1, '4bfb2ff5e3d3e2d7d7612a6b7d4cc4f6eb1ea179b7045c6952900f3447969783', 37500000, 12500000, 2, 1795622718, NULL);
INSERT INTO users VALUES (2, 'bob', 1, '9daa6af91d4cbf1bf850d76c1c33ede76a0fb6a00bb6f157620c2705f4ec15ae', 0, 0, 0, 1795622725, '2026-11-25 16:05:26');
CREATE TABLE `tokens` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `user_id` bigint(20) NOT NULL,
  `key` varchar(128) NOT NULL,
  `status` bigint(20) NOT NULL,
  `name` varchar(191) NOT NULL,
  `created_time` bigint(20) NOT NULL,
  `expired_time` bigint(20) NOT NULL,
  `remain_quota` bigint(20) NOT NULL,
  `unlimited_quota` tinyint(1) NOT NULL,
  `used_quota` bigint(20) NOT NULL,
  `allow_ips` text NOT NULL,
  `deleted_at` datetime DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `token_key` (`key`),
  KEY `token_user_id` (`user_id`),
  KEY `token_deleted_at` (`deleted_at`)
) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT INTO tokens VALUES (1, 1, '0e137ab6167eb6a4dec069a8ea2fd06e0e989df5d3a3451cbcd9cf6f355b42b7', 1, 'ci', 1795622720, -1, 12500000, 0, 12500000, '', NULL);
CREATE TABLE `logs` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `user_id` bigint(20) NOT NULL,
  `created_at` bigint(20) NOT NULL,
  `type` bigint(20) NOT NULL,
  `content` text NOT NULL,
  `username` varchar(64) NOT NULL,
  `token_name` varchar(191) NOT NULL,
  `model_name` varchar(64) NOT NULL,
  `quota` bigint(20) NOT NULL,
  `prompt_tokens` bigint(20) NOT NULL,
  `completion_tokens` bigint(20) NOT NULL,
  `token_id` bigint(20) NOT NULL,
  `request_id` varchar(64) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `log_type_request_id` (`type`,`request_id`),
  KEY `log_token_id` (`token_id`),
  KEY `log_created_at_type` (`created_at`,`type`),
  KEY `log_user_id_type` (`user_id`,`type`)
) ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT INTO logs VALUES (1, 1, 1795622718, 1, '', 'alice', '', '', 50000000, 0, 0, 0, NULL);
INSERT INTO logs VALUES (2, 1, 1795622720, 1, '', 'alice', 'ci', '', 25000000, 0, 0, 1, NULL);
INSERT INTO logs VALUES (3, 1, 1793534400, 2, '', 'alice', 'ci', 'gpt-4o', 7500000, 10, 20, 1, 'r1');
INSERT INTO logs VALUES (4, 1, 1793538000, 2, '', 'alice', 'ci', 'o4-mini', 5000000, 0, 0, 1, 'fce330b2bcd71d4c5c5ce286d8350a96');
CREATE TABLE `quota_data` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `user_id` bigint(20) NOT NULL,
  `token_id` bigint(20) NOT NULL,
  `username` varchar(64) NOT NULL,
  `model_name` varchar(64) NOT NULL,
  `created_at` bigint(20) NOT NULL,
  `token_used` bigint(20) NOT NULL,
  `count` bigint(20) NOT NULL,
  `quota` bigint(20) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `quotadata_user_id_created_at_token_id_model_name` (`user_id`,`created_at`,`token_id`,`model_name`),
  KEY `quotadata_token_id_created_at_model_name_quota` (`token_id`,`created_at`,`model_name`,`quota`),
  KEY `quotadata_user_id_created_at_model_name_quota` (`user_id`,`created_at`,`model_name`,`quota`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT INTO quota_data VALUES (1, 1, 1, 'alice', 'gpt-4o', 1793534400, 30, 1, 7500000);
INSERT INTO quota_data VALUES (2, 1, 1, 'alice', 'o4-mini', 1793538000, 0, 1, 5000000);
