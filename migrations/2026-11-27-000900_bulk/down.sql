DROP TABLE leveret.bulk_items;
DROP TABLE leveret.bulk_jobs;
