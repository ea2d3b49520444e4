"""The registry against bare boto3, nginx and MLflow's model registry."""
