DROP TABLE campaign_lease;
DROP TABLE purge_run_control;
DROP TABLE purge_run_campaign;
DROP TABLE purge_run;
DROP TABLE call_data_history;
DROP TABLE call_data;
DROP TABLE campaign;
