"""Who may have which certificate: the policy document, its checks, and decisions. Pure, all of it.

``document`` says what a policy is and parses one; ``check`` refuses what dangles or can never hold;
``evaluate`` decides one request; ``roles`` says who may order what of the appliance itself.
"""
