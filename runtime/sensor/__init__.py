"""What the sensor saw: from files to points in meters."""
