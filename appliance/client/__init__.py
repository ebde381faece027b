"""An engineer's side: asks the service over HTTPS, signs in at identity providers, fills the ssh-agent."""
