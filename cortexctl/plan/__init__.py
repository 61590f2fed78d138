"""CORE: desired x observed -> Plan. No client, clock, environment or file in here."""
